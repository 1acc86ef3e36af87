-- Reads one job, with the worker that runs it or ran it last.
select jobs.id, jobs.kind, jobs.queue, jobs.state::text, jobs.priority, jobs.attempt, jobs.max_retries, jobs.timeout_ms,
       jobs.version, jobs.payload, jobs.caller, jobs.lease, workers.name as worker, jobs.created_at,
       coalesce(jobs.due_at, jobs.ready_at) as ready_at, jobs.claimed_at, jobs.finished_at,
       case when jobs.state = 'running' then workers.hung_since end as hung_since,
       jobs.cancel_requested_at, jobs.errors, jobs.traceparent, jobs.output, jobs.progress, jobs.tags, jobs.metadata,
       jobs.deaths
from {schema}.jobs left join {schema}.workers on workers.id = jobs.worker_id
where jobs.id = %(job_id)s
