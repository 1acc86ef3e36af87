-- Deletes expired idempotency keys. Index: idempotency_keys_expiry.
delete from {schema}.idempotency_keys
where (caller, kind, key) in (
  select caller, kind, key from {schema}.idempotency_keys where expires_at < now()
  order by expires_at limit %(page)s for update skip locked
)
