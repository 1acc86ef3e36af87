-- What the jobs server needs, and nothing more.
grant usage on schema {schema} to {role};
grant select, insert, update on {schema}.jobs to {role};
grant select, insert on {schema}.idempotency_keys to {role};
grant select, insert, update on {schema}.queues to {role};
grant select, update (cancels) on {schema}.workers to {role};
grant select on {schema}.periodic_jobs, {schema}.migrations to {role};
grant usage on all sequences in schema {schema} to {role};
