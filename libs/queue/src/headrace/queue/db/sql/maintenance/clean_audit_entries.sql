-- Forgets the oldest administrative acts, a page at a time, by the one way that a worker has to them.
select {schema}.clean_audit_log(%(audit)s, %(page)s) as deleted
