-- Records an administrative act, in the transaction of the act.
insert into {schema}.audit_log (actor, action, subject, details, jobs)
values (%(actor)s, %(action)s, %(subject)s, %(details)s, %(jobs)s)
returning id
