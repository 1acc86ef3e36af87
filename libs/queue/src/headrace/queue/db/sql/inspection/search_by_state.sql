-- Finds matching jobs in any states but completed, newest first: reads at most %(scan)s jobs of each state, and returns
-- the id below which it has read nothing (0: nothing is left). Indexes: jobs_set_aside, backwards; jobs_ready, jobs_due
-- and jobs_claimed from each worker's floor on, which hold unfinished jobs only and are read whole.
with scanned as materialized (
  select state_wanted::text as source, %(scan)s as most, job.*
  from unnest(array['cancelled', 'discarded', 'quarantined']::{schema}.job_state[]) as state_wanted
  cross join lateral (
    select id, state, kind, queue, tags, created_at
    from {schema}.jobs
    where set_aside is not null
      and (set_aside, id) < (state_wanted, %(before)s::bigint) and (set_aside, id) >= (state_wanted, %(from)s::bigint)
    order by set_aside desc, id desc
    limit (select %(scan)s::bigint)  -- unknown to the planner, which would read all and sort them
  ) as job
  where state_wanted::text = any(%(states)s::text[])
  union all
  select 'available', %(scan)s, newest.* from (
    select id, state, kind, queue, tags, created_at
    from {schema}.jobs
    where ready_xid is not null and 'available' = any(%(states)s::text[])
      and id + 0 < %(before)s and id + 0 >= %(from)s
    order by id + 0 desc limit %(scan)s
  ) as newest
  union all
  select 'scheduled', %(scan)s, newest.* from (
    select id, state, kind, queue, tags, created_at
    from {schema}.jobs
    where due_at is not null and %(states)s::text[] && array['scheduled', 'retryable']
      and id + 0 < %(before)s and id + 0 >= %(from)s
    order by id + 0 desc limit %(scan)s
  ) as newest
  union all
  select 'running', %(scan)s, newest.* from (
    select job.*
    from {schema}.workers as worker cross join lateral (
      select id, state, kind, queue, tags, created_at
      from {schema}.jobs
      where worker_id is not null
        and (worker_id, claim_no) >= (worker.id, worker.claim_floor) and worker_id <= worker.id
      order by worker_id, claim_no limit (select 1000000000)  -- without a limit, the planner does not use the index
    ) as job
    where job.state = 'running' and 'running' = any(%(states)s::text[])
      and job.id < %(before)s and job.id >= %(from)s
    order by job.id desc limit %(scan)s
  ) as newest
),
edge as (
  select coalesce(max(last), 0) as floor
  from (select min(id) as last from scanned group by source having count(*) >= max(most)) as cut_off
)
select floor, array(
  select id from scanned where id >= floor and {include matching} order by id desc limit %(limit)s
) as ids
from edge
