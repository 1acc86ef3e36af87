-- What a Queue is read from, for the statements that answer one.
name, paused_at, paused_by, max_running,
(retention ->> 'completed')::interval as keeps_completed, (retention ->> 'cancelled')::interval as keeps_cancelled,
(retention ->> 'discarded')::interval as keeps_discarded, (retention ->> 'quarantined')::interval as keeps_quarantined
