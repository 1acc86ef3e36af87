-- Lists queues with jobs, and queues that were ever paused, limited or given a retention, by name; those of certain
-- names, or all. Index: jobs_by_queue_and_kind, from queue to queue, so the time it takes grows with the number of
-- queues, not of jobs. Of two queues with jobs whose names have the same hash, it finds one.
with recursive filled as (
  (select hashtext(queue) as queue_hash, queue from {schema}.jobs order by hashtext(queue) limit 1)
  union all
  select following.queue_hash, following.queue
  from filled cross join lateral (
    select hashtext(queue) as queue_hash, queue
    from {schema}.jobs
    where hashtext(queue) > filled.queue_hash
    order by hashtext(queue) limit 1
  ) as following
)
select {include queue_columns}
from (select queue as name from filled union select name from {schema}.queues) as known
left join {schema}.queues using (name)
where %(names)s::text[] is null or name = any(%(names)s::text[])
order by name
