"""Needs headrace-contract without the extra grpc."""

from importlib import import_module
from importlib.util import find_spec

from google.protobuf.any_pb2 import Any

from headrace.jobs.v1 import job_pb2, jobs_service_pb2, options_pb2

payload = Any()
payload.Pack(options_pb2.JobOptions(queue="email"))
request = jobs_service_pb2.EnqueueRequest(payload=payload)
request = jobs_service_pb2.EnqueueRequest.FromString(request.SerializeToString())
assert request.payload.TypeName() == options_pb2.JobOptions.DESCRIPTOR.full_name
assert job_pb2.JobState.Name(job_pb2.JOB_STATE_AVAILABLE) == "JOB_STATE_AVAILABLE"

unwanted = [name for name in ("buf", "grpc", "psycopg", "protovalidate", "saas", "headrace.queue") if find_spec(name)]
assert not unwanted, unwanted

try:
    import_module("headrace.jobs.v1.jobs_service_pb2_grpc")
except ModuleNotFoundError as error:
    missing = error.name
assert missing == "grpc"
