-- Records how the payloads of kinds look here. A known form is left with the time at which it was first recorded. Sorted, so
-- that processes that start together wait for each other instead of deadlocking.
insert into {schema}.kind_descriptors (kind, version, fingerprint, descriptors)
select kind, version, fingerprint, descriptors
from unnest(%(kinds)s::text[], %(versions)s::smallint[], %(fingerprints)s::bytea[], %(descriptors)s::bytea[])
     as known (kind, version, fingerprint, descriptors)
order by kind, version, fingerprint
on conflict do nothing
