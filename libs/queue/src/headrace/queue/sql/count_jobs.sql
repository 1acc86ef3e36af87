-- How many jobs there are, per queue and state. Live ones are counted from the small indexes that hold nothing else: jobs_ready,
-- jobs_due, and jobs_claimed from each worker's floor on; finished ones from the tallies.
select queue, state::text, sum(jobs)::bigint as jobs
from (
  select queue, 'available'::{schema}.job_state as state, count(*) as jobs
  from {schema}.jobs where ready_xid is not null group by queue
  union all
  select queue, state, count(*) from {schema}.jobs where due_at is not null group by queue, state
  union all
  select job.queue, job.state, count(*)
  from {schema}.workers as worker cross join lateral (
    select queue, state
    from {schema}.jobs
    where worker_id is not null and (worker_id, claim_no) >= (worker.id, worker.claim_floor) and worker_id <= worker.id
    order by worker_id, claim_no limit (select 1000000000)  -- some limit, for the planner: makes it a look into the index
  ) as job
  where job.state = 'running'
  group by job.queue, job.state
  union all
  select queue, state, jobs from {schema}.tallies
) as counted
group by queue, state
having sum(jobs) > 0
order by queue, state
