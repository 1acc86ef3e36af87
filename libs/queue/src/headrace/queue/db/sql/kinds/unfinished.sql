-- Jobs that are still to run, for the statements that look at kinds. From the small indexes that hold nothing else: jobs_ready,
-- jobs_due, and jobs_claimed from each worker's floor on.
select id, kind, version, payload from {schema}.jobs where ready_xid is not null
  union all
  select id, kind, version, payload from {schema}.jobs where due_at is not null
  union all
  select job.id, job.kind, job.version, job.payload
  from {schema}.workers as worker cross join lateral (
    select id, kind, version, payload, state
    from {schema}.jobs
    where worker_id is not null and (worker_id, claim_no) >= (worker.id, worker.claim_floor) and worker_id <= worker.id
    order by worker_id, claim_no limit (select 1000000000)  -- some limit, for the planner: makes it a look into the index
  ) as job
  where job.state = 'running'
