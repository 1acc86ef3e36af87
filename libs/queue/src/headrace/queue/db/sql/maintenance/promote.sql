-- Makes due jobs available. Their new keys begin with this transaction, and so are ahead of every cursor. Any number of
-- workers may run it at once. Index: jobs_due. Returns the queues of the jobs.
with due as (
  update {schema}.jobs
  set state = 'available', ready_xid = pg_current_xact_id(), ready_at = due_at, due_at = null
  where id = any(array(
    select id from {schema}.jobs where due_at <= {schema}.clock() order by due_at limit %(limit)s for update skip locked
  ))
  returning queue
),
woken as (
  select queue, count(*) as jobs from due group by queue
)
select queue, jobs, {schema}.wake(queue)::text from woken
