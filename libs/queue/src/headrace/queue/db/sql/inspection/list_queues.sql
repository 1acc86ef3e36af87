-- Queues that jobs stand in, or that something was ever said about, by name; those of certain names, or all. Index: jobs_by_queue_and_kind,
-- from queue to queue, so it takes as long as queues are many, not jobs. Of two queues with jobs whose names have the same hash
-- it finds one.
with recursive lane as (
  (select hashtext(queue) as queue_hash, queue from {schema}.jobs order by hashtext(queue) limit 1)
  union all
  select following.queue_hash, following.queue
  from lane cross join lateral (
    select hashtext(queue) as queue_hash, queue
    from {schema}.jobs
    where hashtext(queue) > lane.queue_hash
    order by hashtext(queue) limit 1
  ) as following
)
select {include queue_columns}
from (select queue as name from lane union select name from {schema}.queues) as known
left join {schema}.queues using (name)
where %(names)s::text[] is null or name = any(%(names)s::text[])
order by name
