-- Records an audit entry, in the transaction of the change.
insert into {schema}.audit_log (actor, action, subject, details, jobs)
values (%(actor)s, %(action)s, %(subject)s, %(details)s, %(jobs)s)
returning id
