-- Deletes finished jobs that are past their retention, one page of the primary key at a time. The chore's row makes it one
-- process at a time, and remembers the page; a page that is not full ends the pass, and the next begins after a pause.
with chore as (
  select position from {schema}.chores
  where name = 'clean_jobs' and next_at <= clock_timestamp() for update skip locked
),
page as materialized (
  select id, state, finished_at from {schema}.jobs
  where id > (select position from chore)
  order by id limit %(page)s
),
deleted as (
  delete from {schema}.jobs
  where id in (
    select id from page
    where finished_at < clock_timestamp() - case when state in ('completed', 'cancelled') then %(short)s::interval
                                                 else %(long)s::interval end
  )
  returning id
),
moved as (
  update {schema}.chores
  set position = case when (select count(*) from page) < %(page)s then 0 else (select max(id) from page) end,
      next_at = clock_timestamp() + case when (select count(*) from page) < %(page)s then %(pause)s else interval '0' end
  from chore where chores.name = 'clean_jobs'
)
select (select count(*) from page)::int, (select count(*) from deleted)::int from chore
