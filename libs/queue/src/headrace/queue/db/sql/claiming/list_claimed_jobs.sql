-- What the database says this worker runs, of claims that were answered. Index: jobs_claimed.
select id, lease from {schema}.jobs
where worker_id = %(worker_id)s and claim_no >= %(claim_floor)s and claim_no < %(before)s and state = 'running'
