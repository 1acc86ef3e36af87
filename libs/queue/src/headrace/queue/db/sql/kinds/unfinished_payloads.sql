-- The payloads of one kind and version that are still to be run, %(limit)s at most.
select id, payload
from ({include unfinished}) as unfinished
where kind = %(kind)s and version = %(version)s
limit %(limit)s
