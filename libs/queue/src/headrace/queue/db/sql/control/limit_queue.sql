-- Sets how many jobs of a queue may run at once, over all processes, or lifts the limit, and wakes the queue's workers.
-- Deletes what is recorded about running jobs in slot_log, so that the first claim under the limit reads them from the
-- table. It does so when a limit is set as well: a claim that was under way while the last limit was lifted leaves a
-- record that lacks the claims since.
with limited as (
  insert into {schema}.queues (name, max_running) values (%(queue)s, %(max_running)s)
  on conflict (name) do update set max_running = excluded.max_running
  returning name, paused_at, paused_by, max_running, retention
),
deleted as (
  delete from {schema}.slot_log using limited where slot_log.queue = limited.name
)
select {include queue_columns}, pg_notify('{channel}', name)::text from limited
