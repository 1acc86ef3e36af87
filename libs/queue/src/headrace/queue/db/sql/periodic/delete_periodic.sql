-- Forgets a periodic job; the jobs that it has made stay.
delete from {schema}.periodic_jobs where name = %(name)s returning name
