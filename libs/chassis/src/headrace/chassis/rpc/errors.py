"""Errors as gRPC clients see them: a code, a sentence, and google.rpc details.

A servicer raises `RpcError` where the fact is known; the server turns it into the call's status in one place.
"""

from collections.abc import Iterable, Mapping

from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode

DOMAIN = "headrace"

# The codes that count as the server's own failure; the others say something about the request.
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

# Details travel in the trailers, and clients refuse trailers above 8 KiB (grpc's soft limit), Base64 included.
# Better an error that is cut than one that can't be read.
DETAIL_BYTES = 4_000
MESSAGE_CHARACTERS = 600
VALUE_CHARACTERS = 1_000


class RpcError(Exception):
    """Ends the call with this code, this sentence and these details."""

    def __init__(self, code: StatusCode, message: str, *details: Message) -> None:
        super().__init__(message)
        self.code = code
        self.message = message[:MESSAGE_CHARACTERS]
        self.details = details

    def status(self) -> status_pb2.Status:
        """The same as a google.rpc.Status, for an answer that carries one error per item."""
        status = status_pb2.Status(code=self.code.value[0], message=self.message)
        for detail in self.details:
            packed = any_pb2.Any()
            packed.Pack(detail)
            status.details.append(packed)
        return status


def bad_request(violations: Iterable[tuple[str, str]]) -> error_details_pb2.BadRequest:
    """Names what is wrong in a request: pairs of the field's path ("payload.mail_id") and what is wrong with it."""
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
    """Says why in a word that a program can act on, which never changes: "KIND_UNKNOWN"."""
    cut = {key: value[:VALUE_CHARACTERS] for key, value in (metadata or {}).items()}
    return error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=cut)


def retry_info(seconds: float) -> error_details_pb2.RetryInfo:
    """Says when to come back, in seconds from now."""
    delay = duration_pb2.Duration()
    delay.FromNanoseconds(int(seconds * 1e9))
    return error_details_pb2.RetryInfo(retry_delay=delay)
