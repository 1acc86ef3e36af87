-- Takes uniquenesses that nobody holds, each for a job that has its id already or gets one here. Those that are held are
-- left out of the answer. Sorted, so that two batches wait for each other instead of deadlocking. Waits for a transaction
-- that holds one of them uncommitted.
insert into {schema}.unique_keys (key, job_id)
select key, coalesce(job_id, nextval('{schema}.jobs_id_seq'))
from unnest(%(keys)s::bytea[], %(ids)s::bigint[]) as wanted (key, job_id)
order by key
on conflict do nothing
returning key, job_id
