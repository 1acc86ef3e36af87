-- Whether there is a listener for events: then this session can't get the lock exclusively. If it can, it releases it
-- at once.
select not pg_try_advisory_xact_lock(hashtextextended('{events}', 0)) as heard
