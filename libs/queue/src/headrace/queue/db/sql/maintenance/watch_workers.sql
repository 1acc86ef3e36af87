-- The beats of all workers that should be alive.
select id, beat from {schema}.workers where dead_at is null and stopped_at is null
