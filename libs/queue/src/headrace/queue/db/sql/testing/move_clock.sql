-- Sets the clock of this transaction further ahead, for a test. See clock() in the migrations.
select set_config(
  'headrace.clock_ahead',
  (coalesce(nullif(current_setting('headrace.clock_ahead', true), ''), '0')::interval + %(by)s::interval)::text,
  true
)
