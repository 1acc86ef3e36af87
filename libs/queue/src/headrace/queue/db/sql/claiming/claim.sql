-- Claims up to %(limit)s jobs of one queue for one worker: priority by priority in the order of %(priorities)s, and in
-- a priority by the transaction that made the job available, then by id. Locks only the rows that it claims (skip
-- locked), and waits for no lock. Index: jobs_ready, from the cursor of each priority on.
--
-- `late` reads, by equality, the rows of transactions that were in progress when the cursor passed them and have ended
-- since, and only rows that the cursor has passed. `fresh` reads on from the cursor, and finds the others there.
--
-- The first row returned is the mark, which moves the cursor (see cursor.py). Only keys that this statement's snapshot
-- can see count for it: a job that was made available again between the snapshot and its row lock is claimed too, but
-- its new key is further on than the cursor has read.
--
-- A kind that is not one of %(kinds)s has no position in that array, and so no version that is high enough.
--
-- Only a queue with a limit pays for the limit: `slots` locks the queue against other claims and counts its running
-- jobs (see db/functions/open_slots.sql), and `logged` adds the claimed ones to its log.
with gate as materialized (
  select pg_current_snapshot() as snapshot, installation.resumes, installation.kinds_off, queues.max_running
  from {schema}.installation
  left join {schema}.queues on queues.name = %(queue)s
  where installation.paused_at is null and queues.paused_at is null
    and exists (select from {schema}.workers where id = %(worker_id)s and dead_at is null)
),
slots as materialized (
  select free, no, jobs, leases
  from gate cross join lateral {schema}.open_slots(%(queue)s, gate.max_running)
  where gate.max_running is not null
),
room as materialized (
  select least(
    %(limit)s::integer, case when gate.max_running is null then %(limit)s else (select free from slots) end
  ) as jobs
  from gate
),
late as materialized (
  select id
  from {schema}.jobs
  where (select true from gate)
    and queue = %(queue)s and priority = any(%(priorities)s::smallint[])
    and ready_xid = any(array(
      select xid from unnest(%(open)s::xid8[]) as xid, gate where pg_visible_in_snapshot(xid, gate.snapshot)
    ))
    and ready_xid is not null
    and (ready_xid, id) <= (
      (%(after_xids)s::xid8[])[array_position(%(priorities)s::smallint[], priority)],
      (%(after_ids)s::bigint[])[array_position(%(priorities)s::smallint[], priority)]
    )
    and kind <> all((select kinds_off from gate)::text[])
    and version <= (%(versions)s::smallint[])[array_position(%(kinds)s::text[], kind)]
  limit (select jobs from room)
  for update skip locked
),
fresh as materialized (
  select starts.priority, job.id, job.ready_xid
  from unnest(%(priorities)s::smallint[], %(after_xids)s::xid8[], %(after_ids)s::bigint[])
       as starts (priority, after_xid, after_id)
  cross join lateral (
    select id, ready_xid
    from {schema}.jobs
    where queue = %(queue)s and priority = starts.priority
      and ready_xid is not null
      and (ready_xid, id) > (starts.after_xid, starts.after_id)
      and ready_xid < %(below)s::xid8
      and kind <> all((select kinds_off from gate)::text[])
      and version <= (%(versions)s::smallint[])[array_position(%(kinds)s::text[], kind)]
    order by ready_xid, id
    limit (select jobs from room)
    for update skip locked
  ) as job
  where (select true from gate)
  limit greatest((select jobs from room) - (select count(*) from late), 0)
),
claimed as (
  update {schema}.jobs
  set state = 'running', ready_xid = null, lease = lease + 1, attempt = attempt + 1,
      worker_id = %(worker_id)s, claim_no = %(claim_no)s, claimed_at = clock_timestamp()
  where id = any(array(select id from late union all select id from fresh))
  returning id, lease, kind, version, payload, attempt, max_retries, timeout_ms, caller,
            traceparent, tracestate, baggage,
            date_part('epoch', claimed_at - ready_at) * 1000 as wait_ms, tags, metadata
),
logged as (
  insert into {schema}.slot_log (queue, no, jobs, leases)
  select %(queue)s, slots.no + 1, slots.jobs || taken.jobs, slots.leases || taken.leases
  from slots cross join (select array_agg(id) as jobs, array_agg(lease) as leases from claimed) as taken
  where taken.jobs is not null
),
visible as materialized (
  select count(*) as jobs from fresh where pg_visible_in_snapshot(ready_xid, (select snapshot from gate))
),
mark as (
  select json_build_object(
    'snapshot', (select snapshot::text from gate),
    'resumes', (select resumes from gate),
    'limit', (select jobs from room),
    'priorities', %(priorities)s::smallint[],
    'late', (select count(*) from late),
    'fresh', (select count(*) from fresh),
    'last', (
      select json_build_array(priority, ready_xid::text, id)
      from (  -- found by counting, because fresh is in the order of the claim: sorting it would cost much more
        select priority, ready_xid, id
        from fresh
        where pg_visible_in_snapshot(ready_xid, (select snapshot from gate))
        offset greatest((select jobs from visible) - 1, 0) limit 1
      ) as furthest
    )
  )::text as mark
)
select mark, null::bigint as id, null::integer as lease, null as kind, null::smallint as version,
       null::bytea as payload, null::smallint as attempt, null::smallint as max_retries, null::integer as timeout_ms,
       null as caller, null as traceparent, null as tracestate, null as baggage, null::float8 as wait_ms,
       null::text[] as tags, null::jsonb as metadata
from mark
union all
select null, * from claimed
