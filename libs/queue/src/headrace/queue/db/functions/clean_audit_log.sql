-- Deletes the oldest audit entries that are past their retention, at most so many, but none of the last day. Workers may
-- call it although they can't write the table. Ids grow with time, so the oldest are the first of the primary key.
create function {schema}.clean_audit_log(keep interval, most integer) returns bigint
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
revoke all on function {schema}.clean_audit_log from public;
