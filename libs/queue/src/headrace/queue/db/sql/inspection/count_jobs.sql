-- How many jobs there are, per queue and state. Live ones are counted from the small indexes that hold nothing else: jobs_ready,
-- jobs_due, and jobs_claimed from each worker's floor on; finished ones from the tallies. With `most` at most so many entries are
-- read of each queue's line, and so many of jobs_due, and `more` says where there are others; without (NULL) it is exact.
with recursive line as (
  (select queue from {schema}.jobs where ready_xid is not null order by queue limit 1)
  union all
  select following.queue
  from line cross join lateral (
    select queue from {schema}.jobs where ready_xid is not null and queue > line.queue order by queue limit 1
  ) as following
),
due as materialized (
  select queue, state from {schema}.jobs where due_at is not null order by due_at limit %(most)s::bigint + 1
)
select queue, state::text, sum(jobs)::bigint as jobs, coalesce(bool_or(more), false) as more
from (
  select line.queue, 'available'::{schema}.job_state as state,
         least(count(*), %(most)s::bigint) as jobs, count(*) > %(most)s::bigint as more
  from line cross join lateral (
    select from {schema}.jobs
    where queue = line.queue and ready_xid is not null
    order by priority, ready_xid, id limit %(most)s::bigint + 1
  ) as waiting
  group by line.queue
  union all
  select queue, state, count(*), (select count(*) from due) > %(most)s::bigint from due group by queue, state
  union all
  select job.queue, job.state, count(*), false
  from {schema}.workers as worker cross join lateral (
    select queue, state
    from {schema}.jobs
    where worker_id is not null and (worker_id, claim_no) >= (worker.id, worker.claim_floor) and worker_id <= worker.id
    order by worker_id, claim_no limit (select 1000000000)  -- some limit, for the planner: makes it a look into the index
  ) as job
  where job.state = 'running'
  group by job.queue, job.state
  union all
  select queue, state, jobs, false from {schema}.tallies
) as counted
group by queue, state
having sum(jobs) > 0
order by queue, state
