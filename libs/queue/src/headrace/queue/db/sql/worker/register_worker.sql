-- Registers a worker under a new id.
insert into {schema}.workers (name, queues, kinds, versions, slots, enabled)
values (%(name)s, %(queues)s, %(kinds)s, %(versions)s, %(slots)s, %(enabled)s)
returning id
