-- Completes a job in the transaction of its handler's own effects, only under the lease of the attempt. Returns no row
-- if the job has a newer lease. Locks the job's row until the caller commits.
with done as (
  update {schema}.jobs
  set state = 'completed', finished_at = clock_timestamp(), output = %(output)s::jsonb
  where id = %(job_id)s and lease = %(lease)s and state = 'running'
  returning id, queue
),
counted as (
  insert into {schema}.tallies (queue, state, jobs) select queue, 'completed', 1 from done
)
select id from done
