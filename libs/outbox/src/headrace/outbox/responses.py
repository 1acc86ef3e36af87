"""What the relay does with each answer of the jobs service.

| answer | the row is |
| --- | --- |
| accepted, now or before | sent |
| UNAVAILABLE, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, ABORTED, INTERNAL, UNKNOWN, CANCELLED | tried again |
| UNAUTHENTICATED, PERMISSION_DENIED, UNIMPLEMENTED, and any code not named here | tried again, with an alert |
| INVALID_ARGUMENT, FAILED_PRECONDITION, OUT_OF_RANGE | parked, with an alert |

The middle row is for what only people can fix, and then nothing needs to be done by hand: a token, a
permission, a jobs service that is older than its caller. Nothing is ever dropped.
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

_LONGEST_ERROR = 1000  # characters of it are kept with the row
_LONGEST_RETRY_INFO = timedelta(hours=1)  # a service that asks for more is asked again sooner
_CODES: dict[int, StatusCode] = {code.value[0]: code for code in StatusCode}


@dataclass(frozen=True)
class Enqueued:
    """The row became a job."""

    job_id: str


@dataclass(frozen=True)
class Rejected:
    """The row, or the whole call, was not accepted.

    Attributes:
        code: Why, in one word.
        message: Why, in a sentence.
        retry_after: When the service asked to be tried again, if it said.
    """

    code: StatusCode
    message: str
    retry_after: timedelta | None = None

    @property
    def error(self) -> str:
        """What is kept with the row; without NUL, which Postgres can't store."""
        return f"{self.code.name}: {self.message}".replace("\x00", "")[:_LONGEST_ERROR]

    @property
    def parks(self) -> bool:
        """Whether trying again by itself would not help."""
        return self.code in HOPELESS

    @property
    def alerts(self) -> bool:
        """Whether somebody has to look."""
        return self.code not in TRANSIENT

    @property
    def may_be_one_row(self) -> bool:
        """Of a whole call: whether a single row of it, or its sheer size, may be to blame."""
        return self.parks or (self.code is StatusCode.RESOURCE_EXHAUSTED and self.retry_after is None)


Answer = Enqueued | Rejected


def answer_of(result: pb.EnqueueResult) -> Answer:
    """Read one item of a batch's answer."""
    match result.WhichOneof("outcome"):
        case "accepted":
            return Enqueued(result.accepted.job_id)
        case "refused":
            return _refused(result.refused)
        case None:
            return Rejected(StatusCode.INTERNAL, "the jobs service answered neither accepted nor refused")
        case never:
            assert_never(never)


def refusal_of(error: AioRpcError) -> Rejected:
    """Read the failure of a whole call."""
    status = status_pb2.Status(code=error.code().value[0], message=error.details() or "")
    for name, value in error.trailing_metadata() or ():
        if name == "grpc-status-details-bin" and isinstance(value, bytes):
            status.details.extend(_details(value))
    return _refused(status)


def _refused(status: status_pb2.Status) -> Rejected:
    code = _CODES.get(status.code, StatusCode.UNKNOWN)
    if code is StatusCode.OK:
        return Rejected(StatusCode.INTERNAL, "the jobs service refused with the code OK")
    info = error_details_pb2.RetryInfo()
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR) and detail.Unpack(info):
            return Rejected(code, status.message, min(info.retry_delay.ToTimedelta(), _LONGEST_RETRY_INFO))
    return Rejected(code, status.message)


def _details(raw: bytes) -> list[any_pb2.Any]:
    try:
        return list(status_pb2.Status.FromString(raw).details)
    except DecodeError:
        # Not our peer's: a proxy in between. The code and the message still say what to do.
        return []
