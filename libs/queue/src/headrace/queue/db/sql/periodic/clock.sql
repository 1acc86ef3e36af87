-- The installation's time: the database's, unless a test has set it ahead.
select {schema}.clock() as now
