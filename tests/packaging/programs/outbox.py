"""Needs headrace-outbox: defines the table and rejects a message that is not a job kind."""

from importlib.util import find_spec
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import MetaData
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlalchemy.schema import CreateTable

from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.outbox import NotAJobKindError, Outbox, Relay

metadata = MetaData()
outbox = Outbox(metadata)
[table] = metadata.sorted_tables
dialect: Any = postgresql.dialect
assert "lease" in str(CreateTable(table).compile(dialect=dialect()))
try:
    outbox.add(Session(), StringValue())
except NotAJobKindError:
    pass
else:
    raise AssertionError
assert callable(Relay)
assert callable(jobs_service_pb2_grpc.JobsServiceStub)

unwanted = [name for name in ("buf", "protovalidate", "saas", "headrace.queue", "headrace.client") if find_spec(name)]
assert not unwanted, unwanted
