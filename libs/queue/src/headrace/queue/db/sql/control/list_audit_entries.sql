-- Reads a page of audit entries, newest first. Index: the primary key, or the index of subjects or actors.
select id, at, actor, action, subject, details, jobs
from {schema}.audit_log
where (%(actor)s::text is null or actor = %(actor)s)
  and (%(subject)s::text is null or subject = %(subject)s)
  and (%(before_id)s::bigint is null or id < %(before_id)s)
order by id desc
limit %(limit)s
