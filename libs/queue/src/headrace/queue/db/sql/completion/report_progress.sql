-- Writes the latest progress that handlers have reported. Only the lease is checked: a report still counts if the job's
-- outcome was written before it. Changes no indexed column.
update {schema}.jobs set progress = held.progress
from unnest(%(ids)s::bigint[], %(leases)s::integer[], %(values)s::jsonb[]) as held (id, lease, progress)
where jobs.id = held.id and jobs.lease = held.lease
