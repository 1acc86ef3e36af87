-- Makes jobs available now, with all their retries, ahead of every cursor. Their leases keep growing. A cancellation
-- that a worker has not noticed yet is withdrawn, because it must not stop the new attempt. Locks the jobs' rows, in
-- the order of their ids, then their workers'. Returns the ids of the jobs that are available again.
with job as (
  select id, queue, worker_id, state as before from {schema}.jobs
  where id = any(%(ids)s::bigint[]) and state in ('scheduled', 'retryable', 'cancelled', 'discarded', 'quarantined')
  order by id for update
),
withdrawn as (
  update {schema}.workers set cancels = array(select unnest(cancels) except select unnest(held.ids))
  from (select worker_id, array_agg(id) as ids from job group by worker_id) as held
  where workers.id = held.worker_id and workers.cancels && held.ids
),
retried as (
  update {schema}.jobs
  set state = 'available', ready_xid = pg_current_xact_id(), ready_at = clock_timestamp(), due_at = null,
      set_aside = null, finished_at = null, cancel_requested_at = null, attempt = 0, deaths = 0, worker_id = null
  from job where jobs.id = job.id
  returning jobs.id, jobs.queue, job.before
),
counted as (
  insert into {schema}.tallies (queue, state, jobs)
  select queue, before, -count(*) from retried where before in ('cancelled', 'discarded', 'quarantined')
  group by queue, before
)
select id, {schema}.wake(queue)::text from retried
