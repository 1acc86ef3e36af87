-- The latest heartbeats of all workers that are not stopped and not declared dead.
select id, beat from {schema}.workers where dead_at is null and stopped_at is null
