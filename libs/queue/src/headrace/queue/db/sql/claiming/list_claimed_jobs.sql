-- The jobs that the database has as running on this worker, of claims whose results it has read or lost. Index:
-- jobs_claimed.
select id, lease from {schema}.jobs
where worker_id = %(worker_id)s and claim_no >= %(claim_floor)s and claim_no < %(before)s and state = 'running'
