-- Lets a kind run again. Cursors have passed its jobs: the counter tells every worker, at its next claim, to go back to the
-- first entry; the notification makes that now.
with resumed as (
  delete from {schema}.paused_kinds where kind = %(kind)s returning kind
),
counted as (
  update {schema}.installation set resumes = resumes + 1, kinds_off = array_remove(kinds_off, resumed.kind) from resumed
)
select kind, pg_notify('{channel}', '')::text from resumed
