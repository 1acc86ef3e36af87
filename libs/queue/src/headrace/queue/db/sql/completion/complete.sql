-- Completes jobs, each only under the lease of its attempt. Changes no indexed column: a HOT update if the page has
-- space. Counts the jobs, in one row per queue. Returns one row: NULL if all of them counted, otherwise the ids that
-- did.
--
-- Index: the primary key, scanned once for all ids. A join with the arrays would look up each id separately, or read
-- the whole table if the plan is made for a long list. `is true` keeps the planner from making this join out of the
-- comparison of the leases. Usually all leases are equal, since first attempts have the same one: then no pairs are
-- compared.
with done as (
  update {schema}.jobs
  set state = 'completed', finished_at = clock_timestamp()
  where id = any(%(ids)s::bigint[]) and state = 'running'
    and case
      when (select (%(leases)s::integer[])[1] = all(%(leases)s::integer[])) then lease = (%(leases)s::integer[])[1]
      else ((id, lease) in (
        select held.id, held.lease from unnest(%(ids)s::bigint[], %(leases)s::integer[]) as held (id, lease)
      )) is true
    end
  returning id, queue
),
counted as (
  insert into {schema}.tallies (queue, state, jobs) select queue, 'completed', count(*) from done group by queue
)
select case
  when (select count(*) from done) < cardinality(%(ids)s::bigint[]) then array(select id from done)
end as counted
