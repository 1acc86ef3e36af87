-- Forgets workers that are gone for longer than their jobs are kept.
delete from {schema}.workers where coalesce(dead_at, stopped_at) < now() - %(longest)s::interval
