-- Whether more jobs stand in line, or wait for a time, than a look goes through. Reads no more of them than that. Indexes:
-- jobs_ready, jobs_due.
select count(*) > %(scan)s as is_crowded
from (
  (select 1 from {schema}.jobs where ready_xid is not null and %(in_line)s limit %(scan)s + 1)
  union all
  (select 1 from {schema}.jobs where due_at is not null and %(waiting)s limit %(scan)s + 1)
) as live
