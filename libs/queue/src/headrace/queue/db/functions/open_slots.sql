-- Returns how many jobs of a limited queue may be claimed now, and which ones are running. From then on the caller's
-- transaction is the only one that claims from the queue, and it appends a row to the log for what it claims. This is a
-- function because each of its statements takes its own snapshot, so that it sees claims committed while it waited for the
-- lock. A caller that waits longer than lock_timeout gets no slots.
create function {schema}.open_slots(
  limited text, max_running integer, out free integer, out no bigint, out jobs bigint[], out leases integer[]
) language plpgsql set lock_timeout = '250ms' as $$
begin
  free := 0;
  begin
    perform pg_advisory_xact_lock(hashtextextended('{schema}.slot_log ' || limited, 0));
  exception when lock_not_available then
    return;
  end;
  select log.no, log.jobs, log.leases into no, jobs, leases
  from {schema}.slot_log as log where log.queue = limited order by log.no desc limit 1;
  if found then
    select coalesce(array_agg(held.id), '{}'), coalesce(array_agg(held.lease), '{}') into jobs, leases
    from unnest(jobs, leases) as held (id, lease)
    join {schema}.jobs as job on job.id = held.id and job.lease = held.lease
    where job.state = 'running';
    delete from {schema}.slot_log as log where log.queue = limited and log.no = open_slots.no - 1;
  else  -- the first claim under the limit: jobs that are already running are found once, by their workers' claims
    select 0, coalesce(array_agg(job.id), '{}'), coalesce(array_agg(job.lease), '{}') into no, jobs, leases
    from {schema}.workers as worker
    join {schema}.jobs as job on job.worker_id = worker.id and job.claim_no >= worker.claim_floor
    where worker.stopped_at is null and job.state = 'running' and job.queue = limited;
    insert into {schema}.slot_log (queue, no, jobs, leases) values (limited, no, jobs, leases);
  end if;
  free := greatest(max_running - cardinality(jobs), 0);
end $$;
