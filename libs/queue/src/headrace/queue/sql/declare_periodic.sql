-- Declares a periodic job. The first tick is now; a changed interval counts from the next tick on.
insert into {schema}.periodic_jobs as p (name, kind, payload, every, next_at)
values (%(name)s, %(kind)s, %(payload)s, %(every)s, clock_timestamp())
on conflict (name) do update
set kind = excluded.kind, payload = excluded.payload, every = excluded.every,
    next_at = least(p.next_at, clock_timestamp() + excluded.every)
