-- Lists everything that is paused: the installation, queues, kinds.
select 'all' as what, '' as name, paused_at, paused_by from {schema}.installation where paused_at is not null
union all
select 'queue', name, paused_at, paused_by from {schema}.queues where paused_at is not null
union all
select 'kind', kind, paused_at, paused_by from {schema}.paused_kinds
order by what, name
