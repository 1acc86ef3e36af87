-- Pauses a kind. Who was the first to do so, and when, is kept. Claims read paused kinds from the installation's row.
with paused as (
  insert into {schema}.paused_kinds as p (kind, paused_at, paused_by) values (%(kind)s, clock_timestamp(), %(by)s)
  on conflict (kind) do update set paused_at = p.paused_at
  returning kind, paused_at, paused_by
),
noted as (
  update {schema}.installation
  set kinds_off = array_append(array_remove(kinds_off, paused.kind), paused.kind)
  from paused
)
select paused_at, paused_by from paused
