-- Deletes workers that have stopped or died so long ago that none of their jobs is kept.
delete from {schema}.workers where coalesce(dead_at, stopped_at) < now() - %(longest)s::interval
