-- Streams jobs in bulk. Whoever writes the rows keeps what insert_jobs keeps: see bulk.py.
copy {schema}.jobs (
  state, created_at, ready_xid, ready_at, due_at, queue, kind, version, priority, max_retries, timeout_ms, caller,
  traceparent, tracestate, baggage, payload, tags, metadata
) from stdin (format binary)
