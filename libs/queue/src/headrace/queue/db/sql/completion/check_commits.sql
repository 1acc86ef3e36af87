-- What became of these attempts, completed in their handlers' own transactions: `completed` says that it was committed,
-- `open` that it is still going on; where it is neither, it was rolled back. Attempts that have lost their lease are left out.
-- The locks are held for this statement only, and nobody is waited for.
with held as (
  select id, lease from unnest(%(ids)s::bigint[], %(leases)s::integer[]) as held (id, lease)
),
free as materialized (
  select jobs.id
  from held join {schema}.jobs on jobs.id = held.id
  where jobs.lease = held.lease and jobs.state = 'running'
  for update of jobs skip locked
)
select held.id, held.lease, jobs.state = 'completed' as completed, jobs.state = 'running' and free.id is null as open
from held
join {schema}.jobs on jobs.id = held.id
left join free on free.id = held.id
where jobs.lease = held.lease and jobs.state in ('running', 'completed')
