-- Pauses the installation. Who was the first to do so, and when, is kept.
update {schema}.installation
set paused_at = coalesce(paused_at, clock_timestamp()), paused_by = coalesce(paused_by, %(by)s)
returning paused_at, paused_by
