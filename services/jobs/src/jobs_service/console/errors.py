"""What the service refuses, as a page says it."""

from typing import NamedTuple

import structlog
from google.rpc import error_details_pb2
from google.rpc.status_pb2 import Status
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status

log = structlog.get_logger()


class ErrorPage(NamedTuple):
    """What went wrong, for a page of its own."""

    status: int
    title: str
    text: str
    violations: tuple[str, ...] = ()


_KNOWN = {
    StatusCode.INVALID_ARGUMENT: (400, "That can't be asked"),
    StatusCode.PERMISSION_DENIED: (403, "Not allowed"),
    StatusCode.NOT_FOUND: (404, "Not there"),
    StatusCode.FAILED_PRECONDITION: (409, "Not now"),
    StatusCode.RESOURCE_EXHAUSTED: (429, "Too much at once"),
    StatusCode.UNAVAILABLE: (503, "The jobs service can't be reached"),
    StatusCode.DEADLINE_EXCEEDED: (503, "The jobs service did not answer in time"),
}


def problem(error: AioRpcError) -> ErrorPage:
    """Reads an error of a call.

    What the service says has details. What gRPC says for itself has none: it names machines and ports, and is for the
    log, since whoever sees the page of a failed login is nobody yet.
    """
    status, title = _KNOWN.get(error.code(), (502, "The jobs service failed"))
    said = rpc_status.from_call(error)
    if said is None:
        log.warning("the jobs service did not answer", code=error.code().name, reason=error.details())
        return ErrorPage(status, title, "The console's log says why. Try again in a moment.")
    return ErrorPage(status, title, said.message, tuple(_violations(said)))


def _violations(said: Status) -> list[str]:
    found = []
    for detail in said.details:
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found += [f"{violation.field}: {violation.description}" for violation in bad.field_violations]
    return found
