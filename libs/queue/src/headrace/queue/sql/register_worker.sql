-- A new life of a worker process.
insert into {schema}.workers (name, queues, kinds, versions)
values (%(name)s, %(queues)s, %(kinds)s, %(versions)s)
returning id
