-- Finds matching jobs of certain queues or kinds, newest first: reads about %(scan)s jobs at most, spread over the
-- pairs of a queue and a kind, and returns the id below which it has read nothing (0: nothing is left). Pairs
-- are identified by their hashes. Index: jobs_by_queue_and_kind, first from pair to pair, then backwards in each. The row
-- comparisons leave the planner no other.
with recursive pair (queue_hash, kind_hash) as (
  (select hashtext(queue), hashtext(kind) from {schema}.jobs order by hashtext(queue), hashtext(kind) limit 1)
  union all
  select following.queue_hash, following.kind_hash
  from pair cross join lateral (
    select hashtext(queue) as queue_hash, hashtext(kind) as kind_hash
    from {schema}.jobs
    where (hashtext(queue), hashtext(kind)) > (pair.queue_hash, pair.kind_hash)
    order by hashtext(queue), hashtext(kind) limit 1
  ) as following
),
wanted as materialized (
  select queue_hash, kind_hash, greatest(%(scan)s / count(*) over (), %(limit)s) as most
  from pair
  where (
    %(queues)s::text[] is null
    or queue_hash = any(array(select hashtext(queue) from unnest(%(queues)s::text[]) as queue))
  ) and (
    %(kinds)s::text[] is null
    or kind_hash = any(array(select hashtext(kind) from unnest(%(kinds)s::text[]) as kind))
  )
),
scanned as materialized (
  select (queue_hash, kind_hash) as source, most, job.*
  from wanted cross join lateral (
    select id, state, kind, queue, tags, created_at
    from {schema}.jobs
    where (hashtext(queue), hashtext(kind), id) < (queue_hash, kind_hash, %(before)s::bigint)
      and (hashtext(queue), hashtext(kind), id) >= (queue_hash, kind_hash, %(from)s::bigint)
    order by hashtext(queue) desc, hashtext(kind) desc, id desc limit most
  ) as job
),
edge as (
  select coalesce(max(last), 0) as floor
  from (select min(id) as last from scanned group by source having count(*) >= max(most)) as cut_off
)
select floor, array(
  select id from scanned where id >= floor and {include matching} order by id desc limit %(limit)s
) as ids
from edge
