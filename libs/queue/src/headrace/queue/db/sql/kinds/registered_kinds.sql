-- How the payloads of kinds looked to the processes that enqueued or ran them, oldest first.
select kind, version, fingerprint, descriptors, registered_at
from {schema}.kind_descriptors
where kind = any(%(kinds)s::text[])
order by registered_at, version, fingerprint
