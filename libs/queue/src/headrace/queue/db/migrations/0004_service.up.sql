-- What an operator and a service need to know. Workers of the version before go on running meanwhile: what they don't
-- write has a default, or is NULL for "not said".

-- ── Workers: what they say of themselves with each beat ─────────────────────────────────────────────────────────────

alter table {schema}.workers
  add column slots   integer,
  add column enabled boolean not null default true,
  add column running integer,
  add column rates   jsonb,
  add column free    jsonb;

comment on column {schema}.workers.slots is 'How many jobs it runs at once. NULL: it did not say.';
comment on column {schema}.workers.enabled is 'Whether it claims jobs: false where JOBS_ENABLED is false.';
comment on column {schema}.workers.running is 'How many jobs it ran at its last beat.';
comment on column {schema}.workers.rates is 'How many attempts of each queue it ends per second, over about the last minute.';
comment on column {schema}.workers.free is 'How many more jobs of each queue it could have taken at its last beat.';

-- ── Kinds: what their payloads look like ────────────────────────────────────────────────────────────────────────────

-- The payload of a kind in one version, as somebody built it who enqueues or runs it.
create table {schema}.kind_descriptors (
  kind          text not null,
  version       smallint not null check (version > 0),
  fingerprint   bytea not null,
  descriptors   bytea not null,
  registered_at timestamptz not null default clock_timestamp(),
  primary key (kind, version, fingerprint)
);

comment on column {schema}.kind_descriptors.descriptors is 'A google.protobuf.FileDescriptorSet with everything the message needs.';
comment on column {schema}.kind_descriptors.fingerprint is 'Hash of the fields that are read on the wire: equal for payloads that are.';

-- ── Audit ───────────────────────────────────────────────────────────────────────────────────────────────────────────

-- Every administrative act, written in the transaction of the act itself.
create table {schema}.audit_log (
  id      bigint generated always as identity primary key,
  at      timestamptz not null default clock_timestamp(),
  actor   text not null,
  action  text not null,
  subject text not null,
  details jsonb not null default '{}',
  jobs    bigint not null default 0
);
create index audit_log_subject on {schema}.audit_log (subject, id);
create index audit_log_actor on {schema}.audit_log (actor, id);

-- Forgets the oldest entries, as far as they are older than that: what a worker may do to a table that it can't touch.
-- Ids grow with time, so the oldest are the first of the primary key. Nothing of the last day is ever forgotten.
create function {schema}.forget_acts(keep interval, most integer) returns bigint
language sql security definer set search_path = pg_catalog, pg_temp as $$
  with oldest as (
    select id, at from {schema}.audit_log order by id limit most for update skip locked
  ),
  gone as (
    delete from {schema}.audit_log
    where id in (select id from oldest where at < clock_timestamp() - greatest(keep, interval '1 day')) returning id
  )
  select count(*) from gone
$$;
revoke all on function {schema}.forget_acts from public;
