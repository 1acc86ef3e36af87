-- Sends events to all listeners, in one transaction.
select pg_notify('{events}', text) from unnest(%(texts)s::text[]) as text
