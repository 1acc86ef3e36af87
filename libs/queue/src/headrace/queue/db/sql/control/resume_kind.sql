-- Ends the pause of a kind. Cursors have passed its jobs: the counter makes each worker go back to the first entry at
-- its next claim, and the notification makes it claim now.
with resumed as (
  delete from {schema}.paused_kinds where kind = %(kind)s returning kind
),
counted as (
  update {schema}.installation set resumes = resumes + 1, kinds_off = array_remove(kinds_off, resumed.kind) from resumed
)
select kind, pg_notify('{channel}', '')::text from resumed
