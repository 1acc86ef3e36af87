-- Back to the tables of version 3. What was recorded of acts and of kinds' descriptors is lost.
drop function {schema}.forget_acts;
drop table {schema}.audit_log;
drop table {schema}.kind_descriptors;
alter table {schema}.workers
  drop column slots,
  drop column enabled,
  drop column running,
  drop column rates,
  drop column free;
