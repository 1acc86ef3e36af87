-- Back to an empty schema: every job, key, schedule and audit entry of the installation is lost.
drop function {schema}.clean_audit_log(interval, integer), {schema}.open_slots(text, integer), {schema}.wake(text), {schema}.clock();
drop table
  {schema}.jobs, {schema}.tallies, {schema}.idempotency_keys, {schema}.unique_keys, {schema}.workers, {schema}.chores,
  {schema}.installation, {schema}.paused_kinds, {schema}.queues, {schema}.slot_log, {schema}.periodic_jobs,
  {schema}.kind_descriptors, {schema}.audit_log;
drop sequence {schema}.wakes;
drop type {schema}.job_state;
