-- What puts rows in line that are not written by insert_jobs: this transaction, and the time.
select pg_current_xact_id()::text as xid, clock_timestamp() as at
