-- Counts the available jobs of a queue, up to a limit: reads that many entries of jobs_ready and no more. The order is
-- that of the index. Without it, a plan that reads the table from its start would look as cheap.
select count(*) as jobs
from (
  select from {schema}.jobs
  where queue = %(queue)s and ready_xid is not null
  order by priority, ready_xid, id
  limit %(limit)s
) as available
