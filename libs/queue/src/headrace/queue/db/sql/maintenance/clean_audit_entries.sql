-- Deletes the oldest audit entries, a page at a time. Workers may delete them only with this function.
select {schema}.clean_audit_log(%(audit)s, %(page)s) as deleted
