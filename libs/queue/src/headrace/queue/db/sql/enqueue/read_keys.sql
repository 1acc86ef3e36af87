-- Reads idempotency keys that other transactions have taken. A separate statement: the one that lost the race can't see
-- what the winner has just committed.
select caller, kind, key, payload_hash, job_id
from {schema}.idempotency_keys
join unnest(%(callers)s::text[], %(kinds)s::text[], %(keys)s::text[]) as wanted (caller, kind, key)
  using (caller, kind, key)
