-- Ends the pause of the installation and wakes all workers. Queues and kinds that were paused themselves stay paused.
update {schema}.installation set paused_at = null, paused_by = null
where paused_at is not null
returning pg_notify('{channel}', '')::text
