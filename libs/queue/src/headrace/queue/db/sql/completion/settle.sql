-- Writes every outcome except plain completions, each only under the lease of its attempt. `spent` says whether the
-- attempt counts against max_retries. A job that is to be cancelled does not become available again. Returns the ids
-- and new states of the jobs whose outcomes counted. At most 10 errors are kept per job.
with decided as materialized (
  select held.*,
         (case when jobs.cancel_requested_at is not null and held.state in ('available', 'scheduled', 'retryable')
               then 'cancelled' else held.state end)::{schema}.job_state as outcome
  from unnest(
    %(ids)s::bigint[], %(leases)s::integer[], %(states)s::text[], %(spent)s::boolean[], %(delays_ms)s::bigint[],
    %(errors)s::jsonb[], %(outputs)s::jsonb[]
  ) as held (id, lease, state, spent, delay_ms, error, output)
  join {schema}.jobs on jobs.id = held.id
  for update of jobs
),
settled as (
  update {schema}.jobs
  set state = outcome,
      attempt = attempt - case when spent then 0 else 1 end,
      ready_xid = case when outcome = 'available' then pg_current_xact_id() end,
      ready_at = case when outcome = 'available' then clock_timestamp() else ready_at end,
      due_at = case when outcome in ('scheduled', 'retryable')
                    then (select {schema}.clock()) + make_interval(secs => delay_ms / 1000.0) end,
      set_aside = case when outcome in ('cancelled', 'discarded', 'quarantined') then outcome end,
      finished_at = case when outcome in ('completed', 'cancelled', 'discarded', 'quarantined')
                         then clock_timestamp() end,
      worker_id = case when outcome in ('completed', 'cancelled', 'discarded', 'quarantined') then worker_id end,
      output = coalesce(decided.output, jobs.output),
      errors = case when error is null then errors else (
        select jsonb_agg(entry order by place) from (
          select entry, place
          from jsonb_array_elements(coalesce(errors, '[]'::jsonb) || error) with ordinality as kept (entry, place)
          order by place desc limit 10
        ) as newest
      ) end
  from decided
  where jobs.id = decided.id and jobs.lease = decided.lease and jobs.state = 'running'
  returning jobs.id, jobs.state, jobs.queue
),
counted as (
  insert into {schema}.tallies (queue, state, jobs)
  select queue, state, count(*) from settled where state in ('completed', 'cancelled', 'discarded', 'quarantined')
  group by queue, state
)
select id, state::text, case when state = 'available' then {schema}.wake(queue)::text end from settled
