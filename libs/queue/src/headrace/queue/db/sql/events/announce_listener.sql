-- Shows workers that there is a listener for events, until the session ends.
select pg_advisory_lock_shared(hashtextextended('{events}', 0))
