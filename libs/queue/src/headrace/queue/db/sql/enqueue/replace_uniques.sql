-- Takes uniquenesses over from jobs that don't count, each only if that very job still holds it: the second to come finds
-- another holder, and looks again. Locks the rows in order, as take_uniques does.
with freed as materialized (
  select held.key, wanted.job_id
  from unnest(%(keys)s::bytea[], %(holders)s::bigint[], %(ids)s::bigint[]) as wanted (key, holder, job_id)
  join {schema}.unique_keys as held on held.key = wanted.key and held.job_id = wanted.holder
  order by held.key
  for update of held
)
update {schema}.unique_keys as held
set job_id = coalesce(freed.job_id, nextval('{schema}.jobs_id_seq'))
from freed where held.key = freed.key
returning held.key, held.job_id
