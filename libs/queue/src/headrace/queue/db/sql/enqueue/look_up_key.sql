-- What a key stands for, and until when at least. Takes nothing: what another transaction has taken and not committed is not seen.
select payload_hash, job_id, expires_at
from {schema}.idempotency_keys
join unnest(%(callers)s::text[], %(kinds)s::text[], %(keys)s::text[]) as wanted (caller, kind, key)
  using (caller, kind, key)
