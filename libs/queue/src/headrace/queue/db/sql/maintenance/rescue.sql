-- Rescues the jobs of dead workers; their attempts don't count. They become available; or quarantined, after
-- %(max_deaths)s worker deaths; or cancelled, if they were to be cancelled. Index: jobs_claimed, from each worker's
-- claim_floor on. Running it again finds the jobs of a dead worker's last claim if that was committed late.
with lost as (
  select jobs.id, workers.name as worker,
         (case when jobs.cancel_requested_at is not null then 'cancelled'
               when jobs.deaths + 1 >= %(max_deaths)s then 'quarantined'
               else 'available' end)::{schema}.job_state as outcome
  from {schema}.workers
  join {schema}.jobs on jobs.worker_id = workers.id and jobs.claim_no >= workers.claim_floor
  where workers.dead_at is not null and jobs.state = 'running'
  for update of jobs skip locked
),
rescued as (
  update {schema}.jobs
  set state = outcome, deaths = deaths + 1, attempt = attempt - 1,
      ready_xid = case when outcome = 'available' then pg_current_xact_id() end,
      ready_at = case when outcome = 'available' then clock_timestamp() else ready_at end,
      set_aside = case when outcome <> 'available' then outcome end,
      finished_at = case when outcome <> 'available' then clock_timestamp() end,
      worker_id = case when outcome <> 'available' then worker_id end,
      errors = case when outcome = 'cancelled' then errors else (
        select jsonb_agg(entry order by place) from (
          select entry, place
          from jsonb_array_elements(coalesce(errors, '[]'::jsonb) || jsonb_build_object(
            'attempt', attempt, 'lease', lease, 'at', clock_timestamp(), 'type', 'worker_lost',
            'message', format('worker %%s died while it ran this job (death %%s of %%s)', worker, deaths + 1,
                              %(max_deaths)s),
            'traceback', ''
          )) with ordinality as kept (entry, place)
          order by place desc limit 10
        ) as newest
      ) end
  from lost
  where jobs.id = lost.id and jobs.state = 'running'
  returning jobs.id, lease, kind, queue, attempt + 1 as attempt, jobs.state, lost.worker,
            traceparent, tracestate, baggage,
            (extract(epoch from clock_timestamp() - claimed_at) * 1000)::float8 as ran_ms
),
counted as (
  insert into {schema}.tallies (queue, state, jobs)
  select queue, state, count(*) from rescued where state <> 'available' group by queue, state
)
select id, lease, kind, queue, attempt, state::text, worker, traceparent, tracestate, baggage, ran_ms,
       case when state = 'available' then {schema}.wake(queue)::text end
from rescued
