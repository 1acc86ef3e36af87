-- Tells those who listen, in one transaction for many events.
select pg_notify('{events}', text) from unnest(%(texts)s::text[]) as text
