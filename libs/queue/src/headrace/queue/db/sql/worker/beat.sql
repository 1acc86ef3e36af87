-- A heartbeat. Returns the running jobs that were to be cancelled since the last one; no row if this worker was
-- declared dead. Locks only the worker's own row.
with before as (
  select id, cancels from {schema}.workers where id = %(worker_id)s and dead_at is null for update
)
update {schema}.workers
set beat = beat + 1, beat_at = clock_timestamp(), claim_floor = %(claim_floor)s, cancels = '{}',
    running = %(running)s, rates = %(rates)s::jsonb, free = %(free)s::jsonb,
    hung_since = case when %(blocked_for)s::float8 is not null
                      then coalesce(hung_since, clock_timestamp() - make_interval(secs => %(blocked_for)s::float8)) end
from before
where workers.id = before.id
returning before.cancels
