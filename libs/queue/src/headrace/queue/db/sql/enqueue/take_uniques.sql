-- Takes uniquenesses that no job holds, each for a job that has its id already or gets one here. Those that are held are left
-- out of the result. Sorted, so that two batches wait for each other instead of deadlocking. Waits for a transaction that
-- has taken one of them and not committed.
insert into {schema}.unique_keys (key, job_id)
select key, coalesce(job_id, nextval('{schema}.jobs_id_seq'))
from unnest(%(keys)s::bytea[], %(ids)s::bigint[]) as wanted (key, job_id)
order by key
on conflict do nothing
returning key, job_id
