"""What the service refuses, as a page says it."""

from typing import NamedTuple

from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status


class Problem(NamedTuple):
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
    StatusCode.RESOURCE_EXHAUSTED: (429, "Too many calls"),
    StatusCode.UNAVAILABLE: (503, "The jobs service can't be reached"),
    StatusCode.DEADLINE_EXCEEDED: (503, "The jobs service did not answer in time"),
}


def problem(error: AioRpcError) -> Problem:
    """Reads an error of a call."""
    status, title = _KNOWN.get(error.code(), (502, "The jobs service failed"))
    return Problem(status, title, error.details() or error.code().name, tuple(_violations(error)))


def _violations(error: AioRpcError) -> list[str]:
    said = rpc_status.from_call(error)
    found = []
    for detail in said.details if said else ():
        bad = error_details_pb2.BadRequest()
        if detail.Unpack(bad):
            found += [f"{violation.field}: {violation.description}" for violation in bad.field_violations]
    return found
