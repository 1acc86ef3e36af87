-- Cancels waiting jobs, and asks the workers of running jobs to stop. Locks the jobs' rows, in the order of their ids,
-- then their workers'. Returns the ids of the jobs that it has cancelled, or asked to.
with job as (
  select id from {schema}.jobs
  where id = any(%(ids)s::bigint[]) and state in ('scheduled', 'available', 'retryable', 'pending', 'running')
  order by id for update
),
changed as (
  update {schema}.jobs
  set state = case when state = 'running' then state else 'cancelled' end,
      cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
      ready_xid = null, due_at = null,
      set_aside = case when state <> 'running' then 'cancelled'::{schema}.job_state end,
      finished_at = case when state = 'running' then null else clock_timestamp() end
  from job where jobs.id = job.id
  returning jobs.id, jobs.queue, jobs.state, jobs.worker_id
),
running as (
  select worker_id, array_agg(id) as ids from changed where state = 'running' group by worker_id
),
signalled as (
  update {schema}.workers set cancels = array(select unnest(cancels) union select unnest(running.ids))
  from running where workers.id = running.worker_id
),
counted as (
  insert into {schema}.tallies (queue, state, jobs)
  select queue, state, count(*) from changed where state = 'cancelled' group by queue, state
)
select id from changed
