-- Pauses a periodic job: it does not tick, and the missed ticks are not made up for. Who was the first to do so, and
-- when, is kept.
update {schema}.periodic_jobs as p
set paused_at = coalesce(paused_at, clock_timestamp()), paused_by = coalesce(paused_by, %(by)s), next_at = null
where name = %(name)s
returning p.*, {schema}.clock() as now
