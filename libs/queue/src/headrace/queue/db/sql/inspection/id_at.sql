-- Finds the lowest id of the jobs that were created at or after a time, by bisection: ids are given out in the order of
-- time, except for transactions that run at the same time. About twenty probes. Index: the primary key.
with recursive search (low, high) as (
  select coalesce((select min(id) from {schema}.jobs), 1), coalesce((select max(id) from {schema}.jobs), 0) + 1
  union all
  select case when probe.created_at < %(at)s then probe.id + 1 else low end,
         case when probe.created_at < %(at)s then high else middle end
  from search
  cross join lateral (select low + (high - low) / 2 as middle) as half
  left join lateral (
    select id, created_at from {schema}.jobs where id >= middle and id < high order by id limit 1
  ) as probe on true
  where low < high
)
select low as id from search where low >= high
