-- Takes one periodic job whose time has come and sets its next time, skipping the times that were missed. Whoever gets the
-- row makes the job in the same transaction: one job per tick, with any number of replicas. Only those that the asking
-- worker declares: what is no longer declared by anybody stops.
with due as (
  select name from {schema}.periodic_jobs
  where next_at <= clock_timestamp() and name = any(%(names)s::text[]) and kind = any(%(kinds)s::text[])
  order by next_at limit 1 for update skip locked
)
update {schema}.periodic_jobs as p
set next_at = p.next_at + p.every * (1 + floor(
      extract(epoch from clock_timestamp() - p.next_at) / extract(epoch from p.every)
    ))
from due where p.name = due.name
returning p.name, p.kind, p.payload
