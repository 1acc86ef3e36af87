-- Counts jobs per queue and state. Unfinished jobs are counted from the small indexes that hold nothing else:
-- jobs_ready, jobs_due, and jobs_claimed from each worker's floor on. Finished jobs are counted from the tallies. With
-- `most`, at most that many entries are read of each queue in jobs_ready, and of jobs_due, and `more` shows where there
-- are others. Without it (NULL), the counts are exact.
with recursive waiting as (
  (select queue from {schema}.jobs where ready_xid is not null order by queue limit 1)
  union all
  select following.queue
  from waiting cross join lateral (
    select queue from {schema}.jobs where ready_xid is not null and queue > waiting.queue order by queue limit 1
  ) as following
),
due as materialized (
  select queue, state from {schema}.jobs where due_at is not null order by due_at limit %(most)s::bigint + 1
)
select queue, state::text, sum(jobs)::bigint as jobs, coalesce(bool_or(more), false) as more
from (
  select waiting.queue, 'available'::{schema}.job_state as state,
         least(count(*), %(most)s::bigint) as jobs, count(*) > %(most)s::bigint as more
  from waiting cross join lateral (
    select from {schema}.jobs
    where queue = waiting.queue and ready_xid is not null
    order by priority, ready_xid, id limit %(most)s::bigint + 1
  ) as available
  group by waiting.queue
  union all
  select queue, state, count(*), (select count(*) from due) > %(most)s::bigint from due group by queue, state
  union all
  select job.queue, job.state, count(*), false
  from {schema}.workers as worker cross join lateral (
    select queue, state
    from {schema}.jobs
    where worker_id is not null and (worker_id, claim_no) >= (worker.id, worker.claim_floor) and worker_id <= worker.id
    order by worker_id, claim_no limit (select 1000000000)  -- without a limit, the planner does not use the index
  ) as job
  where job.state = 'running'
  group by job.queue, job.state
  union all
  select queue, state, jobs, false from {schema}.tallies
) as counted
group by queue, state
having sum(jobs) > 0
order by queue, state
