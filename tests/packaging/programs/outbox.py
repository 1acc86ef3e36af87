"""Needs headrace-outbox: defines the table and writes a row in a transaction that no database sees."""

from importlib.util import find_spec

from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.outbox import Outbox, Relay

metadata = MetaData()
outbox = Outbox(metadata)
[table] = metadata.sorted_tables
assert "lease" in str(CreateTable(table).compile(dialect=postgresql.dialect()))
assert (StringValue, Relay, jobs_service_pb2_grpc.JobsServiceStub)

unwanted = [name for name in ("buf", "protovalidate", "saas", "headrace.queue", "headrace.client") if find_spec(name)]
assert not unwanted, unwanted
