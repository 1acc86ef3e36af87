-- Marks a drained worker as stopped.
update {schema}.workers set stopped_at = clock_timestamp(), hung_since = null
where id = %(worker_id)s and dead_at is null
