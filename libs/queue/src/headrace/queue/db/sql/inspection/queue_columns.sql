-- The columns of a Queue, for the statements that return one.
name, paused_at, paused_by, max_running,
(retention ->> 'completed')::interval as keeps_completed, (retention ->> 'cancelled')::interval as keeps_cancelled,
(retention ->> 'discarded')::interval as keeps_discarded, (retention ->> 'quarantined')::interval as keeps_quarantined
