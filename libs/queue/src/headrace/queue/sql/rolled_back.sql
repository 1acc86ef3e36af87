-- Which of these attempts, completed in their handlers' own transactions, are not: `open` says whether the transaction is
-- still going on, otherwise it was rolled back. The locks are held for this statement only, and nobody is waited for.
with held as (
  select id, lease from unnest(%(ids)s::bigint[], %(leases)s::integer[]) as held (id, lease)
),
free as materialized (
  select jobs.id
  from held join {schema}.jobs on jobs.id = held.id
  where jobs.lease = held.lease and jobs.state = 'running'
  for update of jobs skip locked
)
select held.id, held.lease, free.id is null as open
from held
join {schema}.jobs on jobs.id = held.id
left join free on free.id = held.id
where jobs.lease = held.lease and jobs.state = 'running'
