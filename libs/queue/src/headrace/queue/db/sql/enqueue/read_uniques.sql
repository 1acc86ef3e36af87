-- Reads which jobs hold uniquenesses, and whether they count. A separate statement: the one that lost the race can't see what
-- the winner has just committed. A key and its job are committed together, so a job that isn't there has been deleted.
select held.key, held.job_id,
       coalesce(
         job.state::text = any(string_to_array(wanted.states, ','))
         and (wanted.period is null or job.created_at > clock_timestamp() - wanted.period),
         false
       ) as counts
from unnest(%(keys)s::bytea[], %(states)s::text[], %(periods)s::interval[]) as wanted (key, states, period)
join {schema}.unique_keys as held on held.key = wanted.key
left join {schema}.jobs as job on job.id = held.job_id
