-- The transaction and the time that copied rows become available with; copy_jobs writes rows without insert_jobs.
select pg_current_xact_id()::text as xid, clock_timestamp() as at
