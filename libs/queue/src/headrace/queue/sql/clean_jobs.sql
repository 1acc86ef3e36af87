-- Deletes finished jobs that are past their retention, one page of the primary key at a time. The chore's row makes it one
-- process at a time, and remembers the page; a page that is not full ends the pass, and the next begins after a pause.
-- The deletion looks at the row itself, so that a job that is retried in the same moment is not deleted.
with chore as (
  select position from {schema}.chores
  where name = 'clean_jobs' and next_at <= clock_timestamp() for update skip locked
),
page as materialized (
  select id from {schema}.jobs
  where id > (select position from chore)
  order by id limit %(page)s
),
deleted as (
  delete from {schema}.jobs
  using page
  where jobs.id = page.id
    and jobs.finished_at < clock_timestamp() - case when jobs.state in ('completed', 'cancelled')
                                                    then %(short)s::interval else %(long)s::interval end
  returning jobs.id
),
moved as (
  update {schema}.chores
  set position = case when (select count(*) from page) < %(page)s then 0 else (select max(id) from page) end,
      next_at = clock_timestamp() + case when (select count(*) from page) < %(page)s then %(pause)s else interval '0' end
  from chore where chores.name = 'clean_jobs'
)
select (select count(*) from page) as seen, (select count(*) from deleted) as deleted from chore
