-- Inserts jobs and wakes the workers of their queues at commit: one notification per queue. Returns each id with the
-- position that its job had in the arrays. A job without a due time becomes available with this transaction.
--
-- A job with an idempotency key reserves it. If the key is taken, the job is not inserted and not returned. Keys are
-- sorted, so that two batches with the same ones wait for each other instead of deadlocking. Waits for a transaction
-- that has taken one of the keys and not committed.
with given as materialized (
  select ordinality, coalesce(id, nextval('{schema}.jobs_id_seq')) as id, key, first_kind, payload_hash,
         queue, kind, version, priority, max_retries, timeout_ms, run_at, delay_ms, caller, traceparent, tracestate, baggage,
         payload, tags::text[] as tags, metadata
  from unnest(
    %(ids)s::bigint[], %(keys)s::text[], %(first_kinds)s::text[], %(hashes)s::bytea[],
    %(queues)s::text[], %(kinds)s::text[], %(versions)s::smallint[], %(priorities)s::smallint[],
    %(max_retries)s::smallint[], %(timeouts_ms)s::integer[], %(run_ats)s::timestamptz[],
    %(delays_ms)s::bigint[], %(callers)s::text[], %(traceparents)s::text[], %(tracestates)s::text[],
    %(baggages)s::text[], %(payloads)s::bytea[],
    %(tags)s::text[], %(metadatas)s::jsonb[]
  ) with ordinality as given (
    id, key, first_kind, payload_hash,
    queue, kind, version, priority, max_retries, timeout_ms, run_at, delay_ms, caller, traceparent, tracestate, baggage,
    payload, tags, metadata, ordinality
  )
),
reserved as (
  insert into {schema}.idempotency_keys (caller, kind, key, payload_hash, job_id, expires_at)
  select caller, first_kind, key, payload_hash, id, now() + %(lifetime)s::interval
  from given
  where key is not null
  order by caller, first_kind, key
  on conflict do nothing
  returning job_id
),
placed as materialized (
  select given.*, entered_at, due_at, due_at is not null and due_at > entered_at as waits
  from given
  -- A job enters the line when its key is reserved, which may have had to wait.
  cross join (select clock_timestamp() as entered_at from (select count(*) from reserved) as done) as clock
  cross join lateral (select coalesce(run_at, entered_at + delay_ms * interval '1 ms') as due_at) as due
  where key is null or id in (select job_id from reserved)
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
