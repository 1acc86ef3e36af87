-- Keeps what handlers last reported. The lease alone is the fence: a report that is overtaken by its job's outcome still
-- counts. Changes no indexed column.
update {schema}.jobs set progress = held.progress
from unnest(%(ids)s::bigint[], %(leases)s::integer[], %(values)s::jsonb[]) as held (id, lease, progress)
where jobs.id = held.id and jobs.lease = held.lease
