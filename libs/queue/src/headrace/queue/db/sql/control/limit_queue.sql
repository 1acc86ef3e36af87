-- Sets how many jobs of a queue may run at once, over all processes, or lifts the limit, and wakes the queue's workers.
-- What was noted about running jobs is forgotten, and the first claim under a limit looks for them: also where a limit is
-- set, for a claim on its way while the last one was lifted leaves a note that knows nothing of the claims since.
with limited as (
  insert into {schema}.queues (name, max_running) values (%(queue)s, %(max_running)s)
  on conflict (name) do update set max_running = excluded.max_running
  returning name, paused_at, paused_by, max_running, retention
),
forgotten as (
  delete from {schema}.slot_log using limited where slot_log.queue = limited.name
)
select {include queue_columns}, pg_notify('{channel}', name)::text from limited
