-- Ends the pause of a periodic job, which ticks from the given time on. One that is not paused is left as it is.
update {schema}.periodic_jobs as p
set next_at = case when paused_at is null then next_at else %(next_at)s end, paused_at = null, paused_by = null
where name = %(name)s
returning p.*, {schema}.clock() as now
