-- Inserts jobs and wakes the workers of their queues at commit: one notification per queue. Answers each id with the
-- position that it had in the arrays. A job without a due time is put in line by this transaction.
with fresh as materialized (
  select ordinality, coalesce(id, nextval('{schema}.jobs_id_seq')) as id,
         queue, kind, version, priority, max_retries, timeout_ms, run_at, delay_ms, caller, traceparent, tracestate, baggage,
         payload, tags::text[] as tags, metadata
  from unnest(
    %(ids)s::bigint[], %(queues)s::text[], %(kinds)s::text[], %(versions)s::smallint[], %(priorities)s::smallint[],
    %(max_retries)s::smallint[], %(timeouts_ms)s::integer[], %(run_ats)s::timestamptz[],
    %(delays_ms)s::bigint[], %(callers)s::text[],
    %(traceparents)s::text[], %(tracestates)s::text[], %(baggages)s::text[], %(payloads)s::bytea[],
    %(tags)s::text[], %(metadatas)s::jsonb[]
  ) with ordinality as given (
    id, queue, kind, version, priority, max_retries, timeout_ms, run_at, delay_ms, caller, traceparent, tracestate,
    baggage, payload, tags, metadata, ordinality
  )
),
placed as materialized (
  select fresh.*, entered_at, due_at, due_at is not null and due_at > entered_at as waits
  from fresh cross join (select clock_timestamp() as entered_at) as clock
  cross join lateral (select coalesce(run_at, entered_at + delay_ms * interval '1 ms') as due_at) as due
),
inserted as (
  insert into {schema}.jobs (
    id, state, created_at, ready_xid, ready_at, due_at,
    queue, kind, version, priority, max_retries, timeout_ms, caller, traceparent, tracestate, baggage, payload,
    tags, metadata
  )
  select id,
         (case when waits then 'scheduled' else 'available' end)::{schema}.job_state,
         entered_at,
         case when not waits then pg_current_xact_id() end,
         case when not waits then entered_at end,
         case when waits then due_at end,
         queue, kind, version, priority, max_retries, timeout_ms, caller, traceparent, tracestate, baggage, payload,
         tags, metadata
  from placed
)
select ordinality, id,
       case when not waits and row_number() over (partition by queue, waits) = 1
            then {schema}.wake(queue)::text end
from placed
