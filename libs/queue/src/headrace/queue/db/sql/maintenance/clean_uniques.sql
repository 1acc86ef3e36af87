-- Deletes the unique keys of deleted jobs, a page at a time in the order of the jobs' ids. Index: unique_keys_job. The
-- row in chores lets one process at a time do it. A key is deleted only if it still names the job that it named in the
-- page, so a key that another job has taken over is kept. A locked key is skipped.
with chore as (
  select position from {schema}.chores
  where name = 'clean_uniques' and next_at <= clock_timestamp() for update skip locked
),
page as materialized (
  select key, job_id from {schema}.unique_keys
  where job_id > (select position from chore) order by job_id limit %(page)s
),
expired as materialized (
  select held.key
  from {schema}.unique_keys as held join page on held.key = page.key and held.job_id = page.job_id
  where not exists (select from {schema}.jobs where id = page.job_id)
  for update of held skip locked
),
deleted as (
  delete from {schema}.unique_keys where key = any(array(select key from expired)) returning key
),
seen as (
  select count(*) as rows, max(job_id) as last from page
)
update {schema}.chores
set position = case when seen.rows < %(page)s then 0 else seen.last end,
    next_at = clock_timestamp() + case when seen.rows < %(page)s then %(pause)s else interval '0' end
from chore, seen where chores.name = 'clean_uniques'
returning seen.rows as seen, (select count(*) from deleted) as deleted
