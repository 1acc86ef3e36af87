-- What the jobs server needs, and nothing more.
grant usage on schema {schema} to {role};
grant select, insert, update, delete on {schema}.jobs to {role};
grant select, insert on {schema}.tallies to {role};
grant select, insert, update (job_id) on {schema}.idempotency_keys to {role};
grant select, insert, update on {schema}.unique_keys to {role};
grant select, insert, update on {schema}.queues to {role};
grant select, update (cancels) on {schema}.workers to {role};
grant select, update on {schema}.installation to {role};
grant select, delete on {schema}.slot_log to {role};
grant select, insert, update, delete on {schema}.paused_kinds, {schema}.periodic_jobs to {role};
grant select on {schema}.migrations to {role};
grant usage on all sequences in schema {schema} to {role};
grant select, update on {schema}.wakes to {role};
grant select, insert on {schema}.kind_descriptors, {schema}.audit_log to {role};
