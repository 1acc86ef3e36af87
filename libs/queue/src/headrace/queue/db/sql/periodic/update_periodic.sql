-- Gives a periodic job a new definition at run time. Its pause, and its declaration in code, stay recorded.
update {schema}.periodic_jobs as p
set kind = %(kind)s, payload = %(payload)s, every = %(every)s, cron = %(cron)s, time_zone = %(time_zone)s,
    missed = %(missed)s, missed_window = %(missed_window)s,
    next_at = case when paused_at is not null then null
                   when (every, cron, time_zone) is not distinct from
                        (%(every)s::interval, %(cron)s::text, %(time_zone)s::text) then next_at
                   else %(next_at)s end
where name = %(name)s
returning p.*, {schema}.clock() as now
