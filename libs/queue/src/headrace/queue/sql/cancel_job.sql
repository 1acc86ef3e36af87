-- Cancels a job that waits, or asks the worker that runs it to stop. Locks the job's row.
with told as (
  update {schema}.jobs
  set state = case when state = 'running' then state else 'cancelled' end,
      cancel_requested_at = coalesce(cancel_requested_at, clock_timestamp()),
      ready_xid = null, due_at = null,
      finished_at = case when state = 'running' then null else clock_timestamp() end
  where id = %(job_id)s and state in ('scheduled', 'available', 'retryable', 'pending', 'running')
  returning id, state, worker_id
),
signalled as (
  update {schema}.workers set cancels = array_append(array_remove(cancels, told.id), told.id)
  from told where workers.id = told.worker_id and told.state = 'running'
)
select id from told
