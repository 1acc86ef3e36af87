-- Makes idempotency keys that this transaction has reserved identify other jobs: the new job turned out to be a duplicate of
-- those.
update {schema}.idempotency_keys as held
set job_id = wanted.job_id
from unnest(%(callers)s::text[], %(kinds)s::text[], %(keys)s::text[], %(ids)s::bigint[]) as wanted (caller, kind, key, job_id)
where held.caller = wanted.caller and held.kind = wanted.kind and held.key = wanted.key
