drop table {schema}.audit_log;
drop table {schema}.kind_descriptors;
alter table {schema}.workers
  drop column slots,
  drop column enabled,
  drop column running,
  drop column rates;
