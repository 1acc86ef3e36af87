-- Which of these attempts, completed in their handlers' own transactions, were not: the transaction was rolled back. One
-- that is still open is left alone; should it be rolled back later, the audit finds its job. Locks for this statement only.
select jobs.id
from unnest(%(ids)s::bigint[], %(leases)s::integer[]) as held (id, lease)
join {schema}.jobs on jobs.id = held.id
where jobs.lease = held.lease and jobs.state = 'running'
for update of jobs skip locked
