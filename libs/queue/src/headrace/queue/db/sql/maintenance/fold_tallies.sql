-- Adds up the changes of the counts, into one row per queue and state. Every reader sees the same sums as before.
with taken as (
  delete from {schema}.tallies
  where ctid = any(array(select ctid from {schema}.tallies limit %(most)s for update skip locked))
  returning queue, state, jobs
)
insert into {schema}.tallies (queue, state, jobs)
select queue, state, sum(jobs) from taken group by queue, state having sum(jobs) <> 0
