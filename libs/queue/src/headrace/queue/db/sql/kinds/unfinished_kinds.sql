-- Which kinds, in which versions, have jobs that are still to run, how many, and the first ten of them.
select kind, version, count(*) as jobs, (array_agg(id order by id))[1:10] as job_ids
from ({include unfinished}) as unfinished
group by kind, version
order by kind, version
