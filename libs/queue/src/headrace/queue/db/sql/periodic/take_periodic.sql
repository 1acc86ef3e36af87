-- Locks one periodic job that is due. The worker that gets the row decides about its ticks and enqueues their jobs in
-- the same transaction: one job per tick, with any number of workers. A definition from code ticks while a worker that
-- declares it runs; one that was created at run time, while one runs that knows its kind.
select name, kind, payload, every, cron, time_zone, missed, missed_window, next_at, last_at, {schema}.clock() as now
from {schema}.periodic_jobs
where (next_at <= {schema}.clock() or next_at is null) and paused_at is null
  and (declared is null or name = any(%(names)s::text[]))
  and kind = any(%(kinds)s::text[]) and name <> all(%(excluded)s::text[])
order by next_at limit 1
for update skip locked
