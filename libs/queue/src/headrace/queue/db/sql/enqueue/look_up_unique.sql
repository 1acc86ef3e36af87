-- Which job holds a uniqueness and counts, and until when. Takes nothing: see look_up_key.
select held.job_id, job.created_at + %(period)s::interval as until
from {schema}.unique_keys as held
join {schema}.jobs as job on job.id = held.job_id
where held.key = %(key)s
  and job.state = any(%(states)s::{schema}.job_state[])
  and (%(period)s::interval is null or job.created_at > clock_timestamp() - %(period)s::interval)
