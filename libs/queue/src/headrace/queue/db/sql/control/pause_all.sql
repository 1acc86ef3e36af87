-- Pauses every queue of the installation; the first to do so is remembered.
update {schema}.installation
set paused_at = coalesce(paused_at, clock_timestamp()), paused_by = coalesce(paused_by, %(by)s)
returning paused_at, paused_by
