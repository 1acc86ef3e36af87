"""What a jobs service answers when it doesn't do what it was asked: exceptions with the facts that it sent along.

Their classes follow what a program can do about them; `reason` is the service's own word, which never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_CODES = {code.value[0]: code for code in grpc.StatusCode}

_Detail = TypeVar("_Detail", bound=Message)


@dataclass(frozen=True)
class Violation:
    """A field that is wrong."""

    field: str
    """Its path in the request: "payload.mail_id", "requests[3].run_at"."""
    description: str
    """What is wrong with it."""


class JobsError(Exception):
    """A call was answered with an error, or with none at all. The text is the service's own sentence."""

    def __init__(
        self,
        code: grpc.StatusCode,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        violations: Iterable[Violation] = (),
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        """The service's word for it, such as "KIND_UNKNOWN"; empty where the service itself did not answer."""
        self.metadata = dict(metadata or {})
        """What the reason says more, such as "kinds" or "job_id"."""
        self.violations = tuple(violations)
        """Every field that is wrong."""
        self.retry_after = retry_after
        """In how many seconds the service asks to be called again."""

    def __str__(self) -> str:
        fields = "".join(f"\n  {found.field}: {found.description}" for found in self.violations)
        return f"{self.message} ({self.reason or self.code.name}){fields}"


class InvalidRequestError(JobsError):
    """The payload or an option is wrong; `violations` names every field. The same request fails again."""


class TooLargeError(JobsError):
    """The payload, the batch or the request is above a limit; `metadata` may have "size" and "limit"."""


class KindUnknownError(JobsError):
    """The service knows no such kind, or no such version of it. During a rollout it may soon; `metadata["kinds"]`."""


class KeyReusedError(JobsError):
    """The idempotency key stands for a job with another payload: `metadata["job_id"]`."""


class NotFoundError(JobsError):
    """There is no such job (or periodic job), or no longer."""


class AlreadyExistsError(JobsError):
    """There is a periodic job of that name."""


class NotActionableError(JobsError):
    """The job's state doesn't allow it; `reason` is JOB_FINISHED, JOB_RUNNING or JOB_COMPLETED."""


class NotAllowedError(JobsError):
    """The token is missing or not known, or its caller may not call this method, or enqueue this kind or queue."""


class BusyError(JobsError):
    """The caller or the queue is over its limit, also after all repeats."""


class UnavailableError(JobsError):
    """The service or its database can't be reached, also after all repeats, or did not answer in time.

    Whether it did what it was asked is not known: repeat it with the same key.
    """


_CLASSES: dict[grpc.StatusCode, type[JobsError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidRequestError,
    grpc.StatusCode.OUT_OF_RANGE: TooLargeError,
    grpc.StatusCode.UNIMPLEMENTED: KindUnknownError,
    grpc.StatusCode.FAILED_PRECONDITION: NotActionableError,
    grpc.StatusCode.NOT_FOUND: NotFoundError,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExistsError,
    grpc.StatusCode.UNAUTHENTICATED: NotAllowedError,
    grpc.StatusCode.PERMISSION_DENIED: NotAllowedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: BusyError,
    grpc.StatusCode.ABORTED: BusyError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
}
_UNREASONED: dict[grpc.StatusCode, type[JobsError]] = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: TooLargeError,  # for the channel
    grpc.StatusCode.UNAUTHENTICATED: NotAllowedError,
    grpc.StatusCode.UNAVAILABLE: UnavailableError,
    grpc.StatusCode.DEADLINE_EXCEEDED: UnavailableError,
}
_REASONS: dict[str, type[JobsError]] = {"IDEMPOTENCY_KEY_REUSED": KeyReusedError}


def error_of_status(status: status_pb2.Status) -> JobsError:
    """Reads a google.rpc.Status, as an item of a batch has it."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    info = _detail(status, error_details_pb2.ErrorInfo)
    found = _detail(status, error_details_pb2.BadRequest)
    retry = _detail(status, error_details_pb2.RetryInfo)
    reason = info.reason if info else ""
    return _class(code, reason)(
        code,
        status.message,
        reason=reason,
        metadata=info.metadata if info else None,
        violations=[Violation(each.field, each.description) for each in found.field_violations] if found else (),
        retry_after=retry.retry_delay.ToTimedelta().total_seconds() if retry else None,
    )


def error_of_call(error: grpc.RpcError) -> JobsError:
    """Reads what a call of grpc or grpc.aio raised."""
    call: Any = error
    status = status_pb2.Status(code=call.code().value[0], message=call.details() or "")
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:  # a proxy's own; the code says enough
                continue
    return error_of_status(status)


def _class(code: grpc.StatusCode, reason: str) -> type[JobsError]:
    if reason in _REASONS:
        return _REASONS[reason]
    if not reason:  # gRPC's own words
        return _UNREASONED.get(code, JobsError)
    return _CLASSES.get(code, JobsError)


def _detail(status: status_pb2.Status, kind: type[_Detail]) -> _Detail | None:
    for packed in status.details:
        detail = kind()
        try:
            if packed.Unpack(detail):
                return detail
        except DecodeError:
            continue
    return None
