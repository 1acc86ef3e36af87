-- How queues move: the longest wait, the rate, the workers of each. Index: jobs_ready, from queue to queue, and the first entry
-- of each priority: a line's oldest job is the first of one of its lanes.
with recursive line as (
  (select queue from {schema}.jobs where ready_xid is not null order by queue limit 1)
  union all
  select following.queue
  from line cross join lateral (
    select queue from {schema}.jobs where ready_xid is not null and queue > line.queue order by queue limit 1
  ) as following
),
waits as (
  select line.queue, greatest(clock_timestamp() - min(first.ready_at), interval '0') as wait
  from line cross join generate_series(1, 4) as lane (priority) cross join lateral (
    select ready_at
    from {schema}.jobs
    where queue = line.queue and priority = lane.priority and ready_xid is not null
    order by ready_xid, id limit 1
  ) as first
  where %(queues)s::text[] is null or line.queue = any(%(queues)s::text[])
  group by line.queue
),
serving as (
  select queue, count(*) as workers, coalesce(sum((rates ->> queue)::float8), 0) as rate
  from {schema}.workers cross join unnest(queues) as queue
  where dead_at is null and stopped_at is null and enabled and beat_at > clock_timestamp() - %(present_within)s::interval
    and (%(queues)s::text[] is null or queue = any(%(queues)s::text[]))
  group by queue
)
select queue, wait as oldest_wait, coalesce(rate, 0)::float8 as jobs_per_second,
       coalesce(workers, 0)::integer as workers
from waits full join serving using (queue)
order by queue
