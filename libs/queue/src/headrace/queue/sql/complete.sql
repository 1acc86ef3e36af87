-- Completes jobs, each only under the lease it was run with. Changes no indexed column: a HOT update where the page has
-- room. Counts them, a row per queue. Answers the ids that counted.
with done as (
  update {schema}.jobs
  set state = 'completed', finished_at = clock_timestamp()
  from unnest(%(ids)s::bigint[], %(leases)s::integer[]) as held (id, lease)
  where jobs.id = held.id and jobs.lease = held.lease and jobs.state = 'running'
  returning jobs.id, jobs.queue
),
counted as (
  insert into {schema}.tallies (queue, state, jobs) select queue, 'completed', count(*) from done group by queue
)
select id from done
