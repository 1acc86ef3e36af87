-- Pauses a kind; the first to do so is remembered.
insert into {schema}.paused_kinds as p (kind, paused_at, paused_by) values (%(kind)s, clock_timestamp(), %(by)s)
on conflict (kind) do update set paused_at = p.paused_at
returning paused_at, paused_by
