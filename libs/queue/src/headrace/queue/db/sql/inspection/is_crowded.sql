-- Returns whether more live jobs are available, or wait for a time, than a search may read. Reads at most %(scan)s
-- entries of jobs_ready and of jobs_due.
select count(*) > %(scan)s as is_crowded
from (
  (select 1 from {schema}.jobs where ready_xid is not null and %(available)s limit %(scan)s + 1)
  union all
  (select 1 from {schema}.jobs where due_at is not null and %(waiting)s limit %(scan)s + 1)
) as live
