-- Back to the tables of version 1. What only this version knows is lost: limits, pauses of kinds, cron schedules.

-- ── Wake-ups, look-ups ──────────────────────────────────────────────────────────────────────────────────────────────
drop function {schema}.wake(text);
drop sequence {schema}.wakes;
drop table {schema}.tallies;

-- ── Periodic jobs ───────────────────────────────────────────────────────────────────────────────────────────────────
delete from {schema}.periodic_jobs where every is null or paused_at is not null or declared is null;
update {schema}.periodic_jobs set next_at = clock_timestamp() + every where next_at is null;
alter table {schema}.periodic_jobs
  drop column cron, drop column time_zone, drop column missed, drop column missed_window, drop column last_at,
  drop column paused_at, drop column paused_by, drop column declared,
  alter column every set not null,
  alter column next_at set not null;
drop function {schema}.clock();

-- ── Flow: pauses and limits ─────────────────────────────────────────────────────────────────────────────────────────
drop function {schema}.open_slots(text, integer);
drop table {schema}.slot_log, {schema}.paused_kinds, {schema}.installation;
alter table {schema}.queues drop column max_running, drop column retention;

-- ── Uniqueness ──────────────────────────────────────────────────────────────────────────────────────────────────────
drop table {schema}.unique_keys;
delete from {schema}.chores where name = 'clean_uniques';

-- ── Jobs ────────────────────────────────────────────────────────────────────────────────────────────────────────────
alter table {schema}.jobs
  drop column tags, drop column metadata, drop column output, drop column progress;
