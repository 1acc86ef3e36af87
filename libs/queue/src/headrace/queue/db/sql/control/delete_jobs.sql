-- Deletes jobs, except running ones. Locks their rows, in the order of their ids. Returns the ids of those that it has
-- deleted.
with job as (
  select id from {schema}.jobs where id = any(%(ids)s::bigint[]) and state <> 'running' order by id for update
),
deleted as (
  delete from {schema}.jobs using job where jobs.id = job.id returning jobs.id, jobs.queue, jobs.state, jobs.finished_at
),
counted as (
  insert into {schema}.tallies (queue, state, jobs)
  select queue, state, -count(*) from deleted where finished_at is not null group by queue, state
)
select id from deleted
