-- How the transactions ended in which handlers have completed these attempts' jobs. `completed`: it was committed.
-- `open`: it has not ended. If neither, it was rolled back. Attempts whose jobs have a newer lease are left out. Locks
-- are held for this statement only, and it waits for no lock.
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
