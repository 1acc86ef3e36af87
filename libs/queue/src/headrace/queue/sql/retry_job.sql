-- Puts a job back into line now with a fresh budget, ahead of every cursor. Its lease goes on growing. A cancellation that
-- its worker has not noted yet is withdrawn, lest it hit the new attempt. Locks the job's row, then the worker's.
with job as (
  select id, worker_id from {schema}.jobs
  where id = %(job_id)s and state in ('scheduled', 'retryable', 'cancelled', 'discarded', 'quarantined')
  for update
),
withdrawn as (
  update {schema}.workers set cancels = array_remove(cancels, job.id)
  from job where workers.id = job.worker_id and job.id = any(cancels)
)
update {schema}.jobs
set state = 'available', ready_xid = pg_current_xact_id(), ready_at = clock_timestamp(), due_at = null, finished_at = null,
    cancel_requested_at = null, attempt = 0, deaths = 0, worker_id = null
from job where jobs.id = job.id
returning jobs.id, pg_notify('{channel}', queue)::text
