-- The jobs that this transaction has inserted, for a test. A row that can be seen, and whose writer has not ended, was written
-- by this transaction or one of its savepoints; the time tells what it has inserted from what it has only changed. Looks
-- through the whole table.
select id, kind, payload, state::text, queue, priority, max_retries, timeout_ms, due_at, caller, tags, metadata,
       (select min(key) from {schema}.idempotency_keys where job_id = jobs.id) as key
from {schema}.jobs
where case when created_at >= transaction_timestamp() then
        pg_xact_status(((pg_current_xact_id()::text::bigint >> 32 << 32) | xmin::text::bigint)::text::xid8) = 'in progress'
      end
  and (%(kinds)s::text[] is null or kind = any(%(kinds)s::text[]))
order by id
