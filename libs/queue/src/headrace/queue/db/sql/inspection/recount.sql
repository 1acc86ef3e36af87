-- Counts finished jobs anew. To be run in a transaction that holds the lock of lock_tallies.
with old as (
  delete from {schema}.tallies
)
insert into {schema}.tallies (queue, state, jobs)
select queue, state, count(*) from {schema}.jobs where finished_at is not null group by queue, state
