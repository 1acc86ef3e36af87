-- Sets the next tick of a periodic job that this transaction has locked.
update {schema}.periodic_jobs set next_at = %(next_at)s, last_at = greatest(last_at, %(last_at)s) where name = %(name)s
