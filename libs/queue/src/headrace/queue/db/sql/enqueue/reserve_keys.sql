-- Reserves idempotency keys for new jobs, and a job id with each. Keys that are taken are left out of the result. Sorted, so
-- that two batches with the same keys wait for each other instead of deadlocking. Waits for a transaction that has taken one
-- of the keys and not committed.
insert into {schema}.idempotency_keys (caller, kind, key, payload_hash, job_id, expires_at)
select caller, kind, key, payload_hash, nextval('{schema}.jobs_id_seq'), now() + %(lifetime)s
from unnest(%(callers)s::text[], %(kinds)s::text[], %(keys)s::text[], %(hashes)s::bytea[])
     as wanted (caller, kind, key, payload_hash)
order by caller, kind, key
on conflict do nothing
returning caller, kind, key, job_id
