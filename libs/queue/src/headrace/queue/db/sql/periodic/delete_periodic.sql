-- Deletes a periodic job. The jobs that it has enqueued are kept.
delete from {schema}.periodic_jobs where name = %(name)s returning name
