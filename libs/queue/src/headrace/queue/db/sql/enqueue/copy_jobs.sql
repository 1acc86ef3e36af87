-- Streams jobs in bulk. The rows, written by bulk.py, must satisfy what insert_jobs.sql ensures.
copy {schema}.jobs (
  state, created_at, ready_xid, ready_at, due_at, queue, kind, version, priority, max_retries, timeout_ms, caller,
  traceparent, tracestate, baggage, tags, metadata, payload
) from stdin (format binary)
