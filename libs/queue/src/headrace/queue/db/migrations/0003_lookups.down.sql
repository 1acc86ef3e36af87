-- outside of transactions, statement by statement
-- The tables of version 2, without indexes for look-ups.
drop index concurrently if exists {schema}.jobs_lanes;
drop index concurrently if exists {schema}.jobs_set_aside;
drop index concurrently if exists {schema}.jobs_tagged;
