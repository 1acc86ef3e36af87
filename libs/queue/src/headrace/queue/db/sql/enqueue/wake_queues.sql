-- Wakes the workers of queues at commit: one notification per queue.
select {schema}.wake(queue) from unnest(%(queues)s::text[]) as queue
