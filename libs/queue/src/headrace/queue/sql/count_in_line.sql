-- How many jobs of a queue stand in line, up to a limit: reads that many entries of jobs_ready and no more.
select count(*) as jobs
from (select from {schema}.jobs where queue = %(queue)s and ready_xid is not null limit %(limit)s) as line
