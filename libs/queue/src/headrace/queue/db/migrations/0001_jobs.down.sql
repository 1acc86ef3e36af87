-- Back to nothing: every job, every key and every schedule of the installation is lost.
drop table
  {schema}.jobs, {schema}.workers, {schema}.queues, {schema}.idempotency_keys, {schema}.periodic_jobs, {schema}.chores;
drop type {schema}.job_state;
