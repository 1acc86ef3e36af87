-- Declares a periodic job of a worker's code. A change at run time holds until the declaration changes; a pause holds
-- even then. A changed schedule counts at once.
insert into {schema}.periodic_jobs as p (
  name, kind, payload, every, cron, time_zone, missed, missed_window, declared, next_at
)
values (
  %(name)s, %(kind)s, %(payload)s, %(every)s, %(cron)s, %(time_zone)s, %(missed)s, %(missed_window)s, %(declared)s,
  %(first_at)s
)
on conflict (name) do update
set kind = excluded.kind, payload = excluded.payload, every = excluded.every, cron = excluded.cron,
    time_zone = excluded.time_zone, missed = excluded.missed, missed_window = excluded.missed_window,
    declared = excluded.declared,
    next_at = case when p.paused_at is not null then null
                   when (p.every, p.cron, p.time_zone) is not distinct from
                        (excluded.every, excluded.cron, excluded.time_zone) then p.next_at
                   else %(changed_at)s end
where p.declared is distinct from excluded.declared
