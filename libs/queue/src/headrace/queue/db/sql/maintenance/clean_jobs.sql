-- Deletes finished jobs after their retention, one page of the primary key at a time. The row in chores lets one
-- process at a time do it, and records the page. A page that is not full ends the pass; the next one begins after a
-- pause. A queue's own retention of a state overrides the general one. The deletion checks the row itself, so that it
-- spares a job that is being retried.
with chore as (
  select position from {schema}.chores
  where name = 'clean_jobs' and next_at <= clock_timestamp() for update skip locked
),
page as materialized (
  select count(*) as seen, max(id) as last from (
    select id from {schema}.jobs where id > (select position from chore) order by id limit %(page)s
  ) as ids
),
own as materialized (
  select jsonb_object_agg(name, retention) as retention from {schema}.queues where retention is not null
),
deleted as (
  delete from {schema}.jobs
  where id > (select position from chore) and id <= (select last from page)
    and finished_at < clock_timestamp() - coalesce(
      ((select retention from own) -> queue ->> state::text)::interval,
      case state when 'completed' then %(completed)s::interval when 'cancelled' then %(cancelled)s::interval
                 when 'discarded' then %(discarded)s::interval else %(quarantined)s::interval end
    )
  returning queue, state
),
counted as (
  insert into {schema}.tallies (queue, state, jobs) select queue, state, -count(*) from deleted group by queue, state
),
moved as (
  update {schema}.chores
  set position = case when seen < %(page)s then 0 else last end,
      next_at = clock_timestamp() + case when seen < %(page)s then %(pause)s else interval '0' end
  from chore, page where chores.name = 'clean_jobs'
)
select seen, (select count(*) from deleted) as deleted from chore, page
