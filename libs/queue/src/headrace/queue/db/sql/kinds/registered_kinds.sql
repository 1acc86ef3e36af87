-- How the payloads of kinds have looked to whoever enqueued or ran them, the first one first.
select kind, version, fingerprint, descriptors, registered_at
from {schema}.kind_descriptors
where kind = any(%(kinds)s::text[])
order by registered_at, version, fingerprint
