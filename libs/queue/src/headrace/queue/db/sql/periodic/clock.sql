-- Returns the installation's time: the database's, unless a test has moved it.
select {schema}.clock() as now
