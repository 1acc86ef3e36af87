-- How many milliseconds until the next job is due, NULL when none waits. Index: jobs_due.
select (extract(epoch from due_at - clock_timestamp()) * 1000)::float8
from {schema}.jobs where due_at is not null order by due_at limit 1
