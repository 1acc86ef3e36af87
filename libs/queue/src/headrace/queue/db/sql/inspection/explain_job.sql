-- Reads a job, and with it everything that may keep it from running, as of one moment. Where the job is available, it
-- reads at most %(most)s jobs ahead of it in its queue (-1: none), backwards from its place, so that jobs that were
-- claimed at the head of a long queue are not read. Index: jobs_ready, backwards, which row comparison and limit leave
-- the planner as the only way; slot_log's key for a queue with a limit. Locks nothing.
with subject as materialized (
{include get_job}
),
place as materialized (
  select id, kind, version, queue, priority, worker_id,
         ready_xid is not null or due_at <= {schema}.clock() as available,
         coalesce(ready_xid, '18446744073709551615') as ready_xid  -- due, not available yet: it will be the last one
  from {schema}.jobs
  where id = %(job_id)s
),
present as materialized (
  select workers.name, queues, kinds, versions, enabled, hung_since is not null as hung,
         versions[array_position(kinds, place.kind)] as version, place.queue = any(queues) as serves,
         (free ->> place.queue)::integer as free, coalesce((rates ->> place.queue)::float8, 0) as rate
  from place join {schema}.workers
    on place.available and dead_at is null and stopped_at is null
    and beat_at > clock_timestamp() - %(present_within)s::interval
),
pauses as materialized (
  select paused.*
  from place join (
{include list_pauses}
  ) as paused
    on what = 'all' or (what = 'kind' and name = place.kind) or (what = 'queue' and name = place.queue)
),
before as materialized (
  select job.kind, job.version
  from place cross join lateral (
    select kind, version
    from {schema}.jobs
    where ready_xid is not null
      and (queue, priority, ready_xid, id) < (place.queue, place.priority, place.ready_xid, place.id)
      and queue >= place.queue
    order by queue desc, priority desc, ready_xid desc, id desc
    limit (select %(most)s::integer + 1)  -- unknown to the planner
  ) as job
  where place.available
),
claimable as (
  select each.kind, max(each.version) as version
  from present cross join unnest(kinds, versions) as each (kind, version)
  where serves and enabled and each.kind not in (select kind from {schema}.paused_kinds)
  group by each.kind
),
limited as (
  select max_running, (
    select count(*)
    from (select jobs, leases from {schema}.slot_log where queue = place.queue order by no desc limit 1) as newest
    cross join unnest(newest.jobs, newest.leases) as held (id, lease)
    join {schema}.jobs as job on job.id = held.id and job.lease = held.lease
    where job.state = 'running'
  ) as running
  from place join {schema}.queues on queues.name = place.queue
  where place.available and max_running is not null
)
select subject.*, json_build_object(
  'at', clock_timestamp(),
  'available', place.available is true,
  'silence', (
    select extract(epoch from clock_timestamp() - beat_at)::float8
    from {schema}.workers
    where workers.id = place.worker_id
  ),
  'pauses', (select json_agg(pauses order by what = 'all' desc, what) from pauses),
  'workers', (
    select json_agg(json_build_object(
      'name', name, 'queues', queues, 'enabled', enabled, 'hung', hung, 'version', version, 'serves', serves,
      'free', free, 'rate', rate
    ) order by name) from present
  ),
  'last_known_at', (
    select max(coalesce(stopped_at, dead_at, beat_at))
    from {schema}.workers
    where place.available and place.kind = any(kinds)
  ),
  'more', (select count(*) from before) > %(most)s,
  'before', (
    select count(*) from before join claimable on claimable.kind = before.kind and claimable.version >= before.version
  ),
  'limit', (select json_build_object('max_running', max_running, 'running', running) from limited)
) as evidence
from subject cross join place
