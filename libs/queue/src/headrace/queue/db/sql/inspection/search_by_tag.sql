-- Finds matching jobs with certain tags, newest first: reads at most %(scan)s of them, and returns the id below which
-- it has read nothing (0: nothing is left). Index: jobs_tagged.
with scanned as materialized (
  select 0 as source, %(scan)s as most, id, state, kind, queue, tags, created_at
  from {schema}.jobs
  where tags is not null and tags @> %(tags)s::text[] and id < %(before)s and id >= %(from)s
  order by id desc limit %(scan)s
),
edge as (
  select coalesce(max(last), 0) as floor
  from (select min(id) as last from scanned group by source having count(*) >= max(most)) as cut_off
)
select floor, array(
  select id from scanned where id >= floor and {include matching} order by id desc limit %(limit)s
) as ids
from edge
