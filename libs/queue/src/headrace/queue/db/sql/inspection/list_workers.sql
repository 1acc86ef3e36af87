-- Lists workers, newest first: those that are alive, and on request those that stopped or died within the last day.
select id, name, queues, kinds, versions, started_at, beat_at, clock_timestamp() - beat_at as silence, hung_since,
       dead_at, stopped_at, slots, enabled, running, rates
from {schema}.workers
where (dead_at is null and stopped_at is null)
   or (%(gone)s and coalesce(dead_at, stopped_at) > clock_timestamp() - interval '1 day')
order by id desc
