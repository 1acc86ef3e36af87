-- Returns the time for everything that waits for one. A test can set its own transaction's clock ahead
-- (headrace.queue.testing).
create function {schema}.clock() returns timestamptz language sql stable as $$
  select clock_timestamp() + coalesce(nullif(current_setting('headrace.clock_ahead', true), ''), '0')::interval
$$;
