-- Reads keys that others have taken. A statement of its own: the one that lost the race can't see what the
-- winner has just committed.
select caller, kind, key, payload_hash, job_id
from {schema}.idempotency_keys
join unnest(%(callers)s::text[], %(kinds)s::text[], %(keys)s::text[]) as wanted (caller, kind, key)
  using (caller, kind, key)
