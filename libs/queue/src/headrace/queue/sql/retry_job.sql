-- Puts a job back into line now with a fresh budget, ahead of every cursor. Its lease goes on growing.
update {schema}.jobs
set state = 'available', ready_xid = pg_current_xact_id(), ready_at = clock_timestamp(), due_at = null, finished_at = null,
    cancel_requested_at = null, attempt = 0, deaths = 0, worker_id = null
where id = %(job_id)s and state in ('scheduled', 'retryable', 'cancelled', 'discarded', 'quarantined')
returning id, pg_notify('{channel}', queue)::text
