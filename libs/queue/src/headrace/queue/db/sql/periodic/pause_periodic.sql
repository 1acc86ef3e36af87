-- Pauses a periodic job: no ticks, and none to be made up for. The first to do so is remembered.
update {schema}.periodic_jobs as p
set paused_at = coalesce(paused_at, clock_timestamp()), paused_by = coalesce(paused_by, %(by)s), next_at = null
where name = %(name)s
returning p.*, {schema}.clock() as now
