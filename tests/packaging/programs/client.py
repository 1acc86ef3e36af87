"""Needs headrace-client and nothing else: enqueues a job in a jobs service, which is a small one in this process."""

from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import grpc
from google.protobuf.wrappers_pb2 import StringValue
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from headrace.client import JobsClient, NotFoundError
from headrace.jobs.v1 import jobs_service_pb2, jobs_service_pb2_grpc


class Service(jobs_service_pb2_grpc.JobsServiceServicer):
    """Takes any job; has none to show."""

    def Enqueue(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        payload = StringValue()
        assert request.payload.Unpack(payload)
        assert ("authorization", "Bearer secret") in context.invocation_metadata()
        return jobs_service_pb2.EnqueueResponse(job_id=payload.value)

    def GetJob(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        status = Status(code=grpc.StatusCode.NOT_FOUND.value[0], message=f"There is no job {request.job_id}")
        status.details.add().Pack(ErrorInfo(reason="JOB_NOT_FOUND", domain="headrace"))
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
        context.abort(grpc.StatusCode.NOT_FOUND, status.message)


service: Any = Service  # a type checker sees the methods that it does not have
server = grpc.server(ThreadPoolExecutor(1))
jobs_service_pb2_grpc.add_JobsServiceServicer_to_server(service(), server)
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with JobsClient(f"127.0.0.1:{port}", token="secret") as jobs:
    assert jobs.enqueue(StringValue(value="17")).job_id == "17"
    try:
        jobs.get("18")
    except NotFoundError as error:
        message = str(error)
    assert message.startswith("There is no job 18")
server.stop(None).wait()

unwanted = [
    name
    for name in ("buf", "psycopg", "protovalidate", "saas", "sqlalchemy", "headrace.queue", "headrace.redaction")
    if find_spec(name)
]
assert not unwanted, unwanted
