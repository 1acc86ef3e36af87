-- Creates a periodic job at run time. Returns no row where there is one of that name.
insert into {schema}.periodic_jobs as p (
  name, kind, payload, every, cron, time_zone, missed, missed_window, declared, next_at
)
values (
  %(name)s, %(kind)s, %(payload)s, %(every)s, %(cron)s, %(time_zone)s, %(missed)s, %(missed_window)s, null, %(next_at)s
)
on conflict (name) do nothing
returning p.*, {schema}.clock() as now
