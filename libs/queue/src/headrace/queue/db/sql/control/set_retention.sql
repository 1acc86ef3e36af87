-- Sets how long a queue's finished jobs are kept, by state. NULL: the workers' setting applies.
insert into {schema}.queues as q (name, retention) values (%(queue)s, %(retention)s::jsonb)
on conflict (name) do update set retention = excluded.retention
returning {include queue_columns}
