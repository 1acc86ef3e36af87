"""What the relay does with each result of the jobs service.

| result | the row is |
| --- | --- |
| accepted, now or earlier | sent |
| UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNKNOWN, CANCELLED | retried |
| UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, and any code not listed here | retried, with an alert |
| INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE | parked, with an alert |

The row with retries and an alert is for problems that an operator fixes elsewhere: a token, a permission, a jobs
service that is older than its caller. The rows are then sent without further action. No row is ever dropped.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError

from headrace.jobs.v1 import jobs_service_pb2 as pb

TRANSIENT = frozenset(
    {
        StatusCode.UNAVAILABLE,
        StatusCode.DEADLINE_EXCEEDED,
        StatusCode.RESOURCE_EXHAUSTED,
        StatusCode.ABORTED,
        StatusCode.INTERNAL,
        StatusCode.UNKNOWN,
        StatusCode.CANCELLED,
    }
)
HOPELESS = frozenset({StatusCode.INVALID_ARGUMENT, StatusCode.FAILED_PRECONDITION, StatusCode.OUT_OF_RANGE})

_LONGEST_ERROR = 1000  # characters that are kept with the row
_LONGEST_RETRY_INFO = timedelta(hours=1)  # even if the service asks for more
_CODES: dict[int, StatusCode] = {code.value[0]: code for code in StatusCode}


@dataclass(frozen=True)
class Enqueued:
    """The row became a job."""

    job_id: str


@dataclass(frozen=True)
class Rejected:
    """The row, or the whole call, was not accepted.

    Attributes:
        code: The status code.
        message: The reason, in a sentence.
        retry_after: After how long the service asked to be called again, if it did.
    """

    code: StatusCode
    message: str
    retry_after: timedelta | None = None

    @property
    def error(self) -> str:
        """The text that is kept with the row; without NUL, which Postgres can't store."""
        return f"{self.code.name}: {self.message}".replace("\x00", "")[:_LONGEST_ERROR]

    @property
    def parks(self) -> bool:
        """Whether retrying automatically would not help."""
        return self.code in HOPELESS

    @property
    def alerts(self) -> bool:
        """Whether an operator has to look at it."""
        return self.code not in TRANSIENT

    @property
    def may_be_one_row(self) -> bool:
        """For a whole call: whether a single row, or the size of the call, may be the cause."""
        return self.parks or (self.code is StatusCode.RESOURCE_EXHAUSTED and self.retry_after is None)


Response = Enqueued | Rejected


def answer_of(result: pb.EnqueueResult) -> Response:
    """Reads one item of a batch's response."""
    match result.WhichOneof("outcome"):
        case "accepted":
            return Enqueued(result.accepted.job_id)
        case "refused":
            return _refused(result.refused)
        case None:
            return Rejected(StatusCode.INTERNAL, "the jobs service returned neither `accepted` nor `refused`")
        case never:
            assert_never(never)


def refusal_of(error: AioRpcError) -> Rejected:
    """Reads the failure of a whole call."""
    status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            status.details.extend(_details(value))
    return _refused(status)


def _refused(status: status_pb2.Status) -> Rejected:
    code = _CODES.get(status.code, StatusCode.UNKNOWN)
    if code is StatusCode.OK:
        return Rejected(StatusCode.INTERNAL, "the jobs service rejected the job with the code OK")
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return Rejected(code, status.message, min(info.retry_delay.ToTimedelta(), _LONGEST_RETRY_INFO))
    return Rejected(code, status.message)


def _details(raw: bytes) -> list[any_pb2.Any]:
    try:
        return list(status_pb2.Status.FromString(raw).details)
    except DecodeError:
        # From a proxy in between, not from the jobs service. The code and the message are enough.
        return []
