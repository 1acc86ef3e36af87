-- Declares a silent worker dead, unless it has sent a heartbeat since. Exactly one rescuer gets a row.
update {schema}.workers set dead_at = clock_timestamp()
where id = %(worker_id)s and beat = %(beat)s and dead_at is null and stopped_at is null
returning name
