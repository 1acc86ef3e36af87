-- How many jobs of a queue stand in line, up to a limit: reads that many entries of jobs_ready and no more. The order is
-- the index' own; without it a plan that reads the table from its start would look as good.
select count(*) as jobs
from (
  select from {schema}.jobs
  where queue = %(queue)s and ready_xid is not null
  order by priority, ready_xid, id
  limit %(limit)s
) as line
