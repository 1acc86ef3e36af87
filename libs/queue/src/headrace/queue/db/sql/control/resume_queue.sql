-- Ends the pause of a queue and wakes its workers.
with resumed as (
  insert into {schema}.queues (name) values (%(queue)s)
  on conflict (name) do update set paused_at = null, paused_by = null
  returning name, paused_at, paused_by, max_running, retention
)
select {include queue_columns}, pg_notify('{channel}', name)::text from resumed
