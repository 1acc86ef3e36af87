-- Pauses a queue. Who was the first to do so, and when, is kept.
insert into {schema}.queues as q (name, paused_at, paused_by) values (%(queue)s, clock_timestamp(), %(by)s)
on conflict (name) do update
set paused_at = coalesce(q.paused_at, excluded.paused_at), paused_by = coalesce(q.paused_by, excluded.paused_by)
returning {include queue_columns}
