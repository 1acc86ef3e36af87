"""Errors as gRPC clients see them: a code, a message, and google.rpc details.

A servicer raises `RpcError`, and one place in the server turns it into the call's status.
"""

from collections.abc import Iterable, Mapping

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

DOMAIN = "headrace"

# The codes that count as a failure of the server; the others are about the request.
SERVER_FAILURES = frozenset(
    {
        StatusCode.UNKNOWN,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.UNIMPLEMENTED,
        StatusCode.INTERNAL,
        StatusCode.UNAVAILABLE,
        StatusCode.DATA_LOSS,
    }
)

# Details are sent in the trailers, and clients reject trailers above 8 KiB (grpc's soft limit), Base64 included.
# A truncated error is better than an unreadable one.
DETAIL_BYTES = 4_000
MESSAGE_CHARACTERS = 600
VALUE_CHARACTERS = 1_000


class RpcError(Exception):
    """Ends the call with this code, this message and these details."""

    def __init__(self, code: StatusCode, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:MESSAGE_CHARACTERS]
        self.details = details

    def status(self) -> status_pb2.Status:
        """Returns it as a google.rpc.Status, for a response with one error per item."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status


def bad_request(violations: Iterable[tuple[str, str]]) -> error_details_pb2.BadRequest:
    """Returns the detail for invalid fields: pairs of a field's path ("payload.mail_id") and what is wrong with it."""
    detail = error_details_pb2.BadRequest()
    size = 0
    for field, description in violations:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=field[:VALUE_CHARACTERS], description=description[:VALUE_CHARACTERS]
        )
        size += violation.ByteSize() + 3
        if size > DETAIL_BYTES:
            break
        detail.field_violations.append(violation)
    return detail


def error_info(reason: str, metadata: Mapping[str, str] | None = None) -> error_details_pb2.ErrorInfo:
    """Returns the reason as an identifier for programs, which never changes: "KIND_UNKNOWN"."""
    cut = {key: value[:VALUE_CHARACTERS] for key, value in (metadata or {}).items()}
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=cut)


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    """Returns when to retry, in seconds from now."""
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)
