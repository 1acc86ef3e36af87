-- What a worker needs, and nothing more.
grant usage on schema {schema} to {role};
grant select, insert, update, delete on {schema}.jobs, {schema}.workers, {schema}.tallies to {role};
grant select, insert, delete, update on {schema}.idempotency_keys to {role};
grant select, insert, update, delete on {schema}.unique_keys to {role};
grant select on {schema}.queues, {schema}.installation, {schema}.paused_kinds, {schema}.migrations to {role};
grant select, insert, delete on {schema}.slot_log to {role};
grant select, insert, update on {schema}.periodic_jobs to {role};
grant select, update on {schema}.chores to {role};
grant usage on all sequences in schema {schema} to {role};
grant select, update on {schema}.wakes to {role};
grant select, insert on {schema}.kind_descriptors to {role};
grant execute on function {schema}.clean_audit_log to {role};
