-- Reads all periodic jobs, or the one of a name.
select p.*, {schema}.clock() as now
from {schema}.periodic_jobs as p
where %(name)s::text is null or name = %(name)s
order by name
