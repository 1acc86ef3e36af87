-- How many milliseconds until the next job is due, and until the next tick of a periodic job that this worker handles;
-- NULL if there is none. Index: jobs_due.
select
  (select (extract(epoch from due_at - {schema}.clock()) * 1000)::float8
   from {schema}.jobs where due_at is not null order by due_at limit 1) as job,
  (select (extract(epoch from min(coalesce(next_at, {schema}.clock())) - {schema}.clock()) * 1000)::float8
   from {schema}.periodic_jobs
   where paused_at is null and (declared is null or name = any(%(names)s::text[]))
     and kind = any(%(kinds)s::text[]) and name <> all(%(excluded)s::text[])) as tick
