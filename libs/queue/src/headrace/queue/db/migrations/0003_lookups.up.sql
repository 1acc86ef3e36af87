-- outside of transactions, statement by statement
-- Indexes for look-ups, made while jobs go on being accepted and run. An attempt that was broken off leaves an invalid index
-- behind, so each is dropped first.

drop index concurrently if exists {schema}.jobs_lanes;
drop index concurrently if exists {schema}.jobs_set_aside;
drop index concurrently if exists {schema}.jobs_tagged;

-- Jobs of a queue and a kind, newest first. By hash, since an entry is written at insertion and at each claim: it takes 28
-- bytes instead of some 80. Never changes, so completion stays HOT.
create index concurrently jobs_lanes on {schema}.jobs (hashtext(queue), hashtext(kind), id)
  with (fillfactor = 50);
-- Jobs that were set aside, newest first.
create index concurrently jobs_set_aside on {schema}.jobs (set_aside, id) where set_aside is not null;
-- Jobs with tags; the others pay nothing.
create index concurrently jobs_tagged on {schema}.jobs using gin (tags) where tags is not null;

-- Finished jobs that are there already. Those that workers of the version before finish from now on are missing: see
-- recount.
with cleared as (delete from {schema}.tallies)
insert into {schema}.tallies (queue, state, jobs)
select queue, state, count(*) from {schema}.jobs where finished_at is not null group by queue, state;
