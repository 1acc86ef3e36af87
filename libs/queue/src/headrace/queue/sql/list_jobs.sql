-- A page of jobs, newest first, from an id downwards. Index: the primary key, backwards.
select jobs.id, jobs.kind, jobs.queue, jobs.state::text, jobs.priority, jobs.attempt, jobs.max_retries, jobs.timeout_ms,
       jobs.version, jobs.payload, jobs.caller, jobs.lease, workers.name as worker, jobs.created_at,
       coalesce(jobs.due_at, jobs.ready_at) as ready_at, jobs.claimed_at, jobs.finished_at,
       case when jobs.state = 'running' then workers.hung_since end as hung_since,
       jobs.cancel_requested_at, jobs.errors, jobs.traceparent, jobs.output, jobs.progress, jobs.tags, jobs.metadata
from {schema}.jobs left join {schema}.workers on workers.id = jobs.worker_id
where jobs.id < coalesce(%(before_id)s::bigint, 9223372036854775807)
  and (%(states)s::text[] is null or jobs.state::text = any(%(states)s::text[]))
  and (%(kinds)s::text[] is null or jobs.kind = any(%(kinds)s::text[]))
  and (%(queues)s::text[] is null or jobs.queue = any(%(queues)s::text[]))
order by jobs.id desc
limit %(limit)s
