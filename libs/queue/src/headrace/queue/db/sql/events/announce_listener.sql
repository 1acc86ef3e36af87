-- Says that somebody listens to events, until the session ends.
select pg_advisory_lock_shared(hashtextextended('{events}', 0))
