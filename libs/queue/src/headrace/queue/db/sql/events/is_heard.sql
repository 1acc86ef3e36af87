-- Whether anybody listens to events: then the lock can't be had alone. It is given back at once.
select not pg_try_advisory_xact_lock(hashtextextended('{events}', 0)) as heard
