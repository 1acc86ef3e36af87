-- Returns the longest wait, the rate and the number of workers of each queue. Index: jobs_ready, from queue to queue,
-- and the first entry of each priority: the job that has been available longest is the first one of a priority.
with recursive waiting as (
  (select queue from {schema}.jobs where ready_xid is not null order by queue limit 1)
  union all
  select following.queue
  from waiting cross join lateral (
    select queue from {schema}.jobs where ready_xid is not null and queue > waiting.queue order by queue limit 1
  ) as following
),
waits as (
  select waiting.queue, greatest(clock_timestamp() - min(first.ready_at), interval '0') as wait
  from waiting cross join generate_series(1, 4) as level (priority) cross join lateral (
    select ready_at
    from {schema}.jobs
    where queue = waiting.queue and priority = level.priority and ready_xid is not null
    order by ready_xid, id limit 1
  ) as first
  where %(queues)s::text[] is null or waiting.queue = any(%(queues)s::text[])
  group by waiting.queue
),
serving as (
  select queue, count(*) as workers, coalesce(sum((rates ->> queue)::float8), 0) as rate
  from {schema}.workers cross join unnest(queues) as queue
  where dead_at is null and stopped_at is null and enabled
    and beat_at > clock_timestamp() - %(present_within)s::interval
    and (%(queues)s::text[] is null or queue = any(%(queues)s::text[]))
  group by queue
)
select queue, wait as oldest_wait, coalesce(rate, 0)::float8 as jobs_per_second,
       coalesce(workers, 0)::integer as workers
from waits full join serving using (queue)
order by queue
