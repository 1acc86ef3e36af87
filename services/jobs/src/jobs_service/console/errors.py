"""Errors of the service as pages."""

from typing import NamedTuple

import structlog
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status

log = structlog.get_logger()


class ErrorPage(NamedTuple):
    """A page that reports an error."""

    status: int
    title: str
    text: str
    violations: tuple[str, ...] = ()


_KNOWN = {
    StatusCode.INVALID_ARGUMENT: (400, "Invalid request"),
    StatusCode.PERMISSION_DENIED: (403, "Not allowed"),
    StatusCode.NOT_FOUND: (404, "Not found"),
    StatusCode.FAILED_PRECONDITION: (409, "Not possible now"),
    StatusCode.RESOURCE_EXHAUSTED: (429, "Too many requests"),
    StatusCode.UNAVAILABLE: (503, "The jobs service is unavailable"),
    StatusCode.DEADLINE_EXCEEDED: (503, "The jobs service did not respond in time"),
}


def problem(error: AioRpcError) -> ErrorPage:
    """Returns the page for a call's error.

    The service's own errors have details. gRPC's errors have none, and contain hosts and ports: they go to the log
    only, because a failed login shows a page before the operator is authenticated.
    """
    status, title = _KNOWN.get(error.code(), (502, "The jobs service failed"))
    details = rpc_status.from_call(error)
    if details is None:
        log.warning("the jobs service did not respond", code=error.code().name, reason=error.details())
        return ErrorPage(status, title, "The console's log has the reason. Retry in a moment.")
    return ErrorPage(status, title, details.message, tuple(_violations(details)))


def _violations(status: Status) -> list[str]:
    found = []
    for detail in status.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found += [f"{violation.field}: {violation.description}" for violation in bad.field_violations]
    return found
