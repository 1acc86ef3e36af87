-- What the engine can do beyond running jobs. Workers of the version before go on running meanwhile: nothing that they
-- read or write changes its meaning.

-- ── Jobs: what they are tagged with, what handlers say about them ───────────────────────────────────────────────────

alter table {schema}.jobs
  add column tags         text[],
  add column metadata     jsonb,
  add column output       jsonb,
  add column progress     jsonb;

comment on column {schema}.jobs.output is 'What the handler answered with Done(output).';
comment on column {schema}.jobs.progress is 'What the handler last reported. Stays when the job ends, or is tried again.';

-- ── Uniqueness ──────────────────────────────────────────────────────────────────────────────────────────────────────

-- Which job holds a uniqueness. A table of its own and no index on jobs: what happens to a job later, a retry or a
-- completion, neither pays for it nor can ever be refused by it. Whether the holder still counts is read from its row.
create table {schema}.unique_keys (
  key    bytea primary key,
  job_id bigint not null
);
create index unique_keys_job on {schema}.unique_keys (job_id);

comment on column {schema}.unique_keys.key is 'Hash of the kind, the chosen fields and their values, and the queue if that counts.';

insert into {schema}.chores (name) values ('clean_uniques');

-- ── Flow: pauses and limits ─────────────────────────────────────────────────────────────────────────────────────────

-- The one row that holds for the whole installation.
create table {schema}.installation (
  the_one   boolean primary key default true check (the_one),
  resumes   bigint not null default 0,
  kinds_off text[] not null default '{}',
  paused_at timestamptz,
  paused_by text,
  check ((paused_at is null) = (paused_by is null))
);
insert into {schema}.installation default values;

comment on column {schema}.installation.resumes is
  'Grows when a kind may run again: cursors have passed its jobs, and go back to the first entry when they see it grow.';
comment on column {schema}.installation.kinds_off is 'The names in paused_kinds, where a claim reads them at no cost.';

-- Kinds whose jobs are not claimed, whatever queue they stand in.
create table {schema}.paused_kinds (
  kind      text primary key,
  paused_at timestamptz not null,
  paused_by text not null
);

alter table {schema}.queues add column max_running integer check (max_running > 0);
alter table {schema}.queues add column retention jsonb;
comment on column {schema}.queues.retention is 'How long its jobs are kept, by state, where that is not as everywhere.';
comment on column {schema}.queues.max_running is 'How many of its jobs may run at once, over all processes. NULL: any number.';

-- What runs in a queue with a limit: the newest row of each queue holds, as of its last claim. A log with a tail instead
-- of one row per job, so that a claim reads one row of it however long vacuum is held back.
create table {schema}.slot_log (
  queue  text not null,
  no     bigint not null,
  jobs   bigint[] not null,
  leases integer[] not null,
  primary key (queue, no)
);

-- How many jobs of a queue with a limit may be claimed now, and what runs in it. The caller's transaction is then the only
-- one to claim from it, and adds a row to the log for what it claims. A function because each of its statements has a
-- snapshot of its own: what was claimed while this one waited for the lock counts. Who waits too long gets nothing.
create function {schema}.open_slots(
  limited text, max_running integer, out free integer, out no bigint, out jobs bigint[], out leases integer[]
) language plpgsql set lock_timeout = '250ms' as $$
begin
  free := 0;
  begin
    perform pg_advisory_xact_lock(hashtextextended('{schema}.slot_log ' || limited, 0));
  exception when lock_not_available then
    return;
  end;
  select log.no, log.jobs, log.leases into no, jobs, leases
  from {schema}.slot_log as log where log.queue = limited order by log.no desc limit 1;
  if found then
    select coalesce(array_agg(held.id), '{}'), coalesce(array_agg(held.lease), '{}') into jobs, leases
    from unnest(jobs, leases) as held (id, lease)
    join {schema}.jobs as job on job.id = held.id and job.lease = held.lease
    where job.state = 'running';
    delete from {schema}.slot_log as log where log.queue = limited and log.no = open_slots.no - 1;
  else  -- the first claim under the limit: what already runs is found once, by what each worker was handed
    select 0, coalesce(array_agg(job.id), '{}'), coalesce(array_agg(job.lease), '{}') into no, jobs, leases
    from {schema}.workers as worker
    join {schema}.jobs as job on job.worker_id = worker.id and job.claim_no >= worker.claim_floor
    where worker.stopped_at is null and job.state = 'running' and job.queue = limited;
    insert into {schema}.slot_log (queue, no, jobs, leases) values (limited, no, jobs, leases);
  end if;
  free := greatest(max_running - cardinality(jobs), 0);
end $$;

-- ── Periodic jobs ───────────────────────────────────────────────────────────────────────────────────────────────────

-- The time, for everything that waits for one. A test may set its own transaction's clock ahead (headrace.queue.testing).
create function {schema}.clock() returns timestamptz language sql stable as $$
  select clock_timestamp() + coalesce(nullif(current_setting('headrace.clock_ahead', true), ''), '0')::interval
$$;

alter table {schema}.periodic_jobs
  -- A worker of the version before that ticks a cron job leaves next_at NULL; one of this version works it out.
  alter column every drop not null,
  alter column next_at drop not null,
  add column cron      text,
  add column time_zone text not null default 'UTC',
  add column missed    text not null default 'one' check (missed in ('skip', 'one', 'all')),
  add column missed_window interval check (missed_window > interval '0'),
  add column last_at   timestamptz,
  add column paused_at timestamptz,
  add column paused_by text,
  add column declared  bytea default '';

comment on column {schema}.periodic_jobs.every is 'The schedule, unless there is a cron expression.';
comment on column {schema}.periodic_jobs.next_at is 'The next tick. NULL while paused, or to be worked out.';
comment on column {schema}.periodic_jobs.last_at is 'The last tick that was decided about, made up for or skipped.';
comment on column {schema}.periodic_jobs.missed is 'Which of the ticks are made up for that nobody was there for.';
comment on column {schema}.periodic_jobs.missed_window is 'How late a missed tick may still be made up for. NULL: any time.';
comment on column {schema}.periodic_jobs.declared is
  'Fingerprint of what workers declare in code: it ticks while one of them runs. NULL: made at run time, ticks always.';

-- ── Look-ups ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Their indexes, and the counts of the jobs that are there, come with 0003: not in this transaction, which locks the jobs.

-- How many finished jobs there are: the sum of the changes. The statement that finishes jobs, takes them up again or deletes
-- them appends one row per queue and state; the cleaner folds them. Without an index: it is short and read as a whole.
create table {schema}.tallies (
  queue text not null,
  state {schema}.job_state not null,
  jobs  bigint not null
);

-- ── Wake-ups ────────────────────────────────────────────────────────────────────────────────────────────────────────

-- What was notified last: the time since 1970 in steps of 5 ms, and a bit for each slot of queues that was notified in the
-- same twentieth of a second. A sequence, because what it says must be seen at once, before the transaction commits.
create sequence {schema}.wakes minvalue 0 start 0;

-- Wakes the workers of a queue at commit, unless that was done in the same twentieth of a second: then they are awake, and
-- go on looking for longer than that (see vigil.py). A transaction that notifies commits alone, all others in the whole
-- cluster that notify wait; so there are at most 20 of these per second and slot, whatever the load. Where there is little
-- of it nobody has to look: what comes when nothing was notified for 5 ms is notified at once, 200 times a second at most.
create function {schema}.wake(queue text) returns void language plpgsql as $$
declare
  now_is constant bigint := floor(extract(epoch from clock_timestamp()) * 200);
  slot constant bigint := 1 << ('x' || left(md5(queue), 1))::bit(4)::integer;
  woken bigint := (select last_value from {schema}.wakes);
begin
  if (woken >> 16) / 10 <> now_is / 10 then
    woken := 0;
  end if;
  if woken & slot = 0 or woken >> 16 <> now_is then
    perform setval('{schema}.wakes', (now_is << 16) | (woken & 65535) | slot), pg_notify('{channel}', queue);
  end if;
end $$;
