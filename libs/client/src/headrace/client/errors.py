"""The errors of a jobs service, as exceptions with the details that it returned.

There is a class for each way a program can react. `reason` is the service's identifier of the error, which never
changes.
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
    """An invalid field."""

    field: str
    """Its path in the request: "payload.mail_id", "requests[3].run_at"."""
    description: str
    """What is wrong with it."""


class JobsError(Exception):
    """A call returned an error or no response. The text is the service's message."""

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
        """The service's identifier of the error, such as "KIND_UNKNOWN"; empty if the error isn't from the service."""
        self.metadata = dict(metadata or {})
        """Details of the reason, such as "kinds" or "job_id"."""
        self.violations = tuple(violations)
        """Every invalid field."""
        self.retry_after = retry_after
        """After how many seconds the service asks to be called again."""

    def __str__(self) -> str:
        fields = "".join(f"\n  {found.field}: {found.description}" for found in self.violations)
        return f"{self.message} ({self.reason or self.code.name}){fields}"


class InvalidRequestError(JobsError):
    """The payload or an option is wrong; `violations` names every field. The same request fails again."""


class TooLargeError(JobsError):
    """The payload, the batch or the request is above a limit; `metadata` may have "size" and "limit"."""


class KindUnknownError(JobsError):
    """The service doesn't know the kind or its version; during a rollout it may soon. See `metadata["kinds"]`."""


class KeyReusedError(JobsError):
    """The idempotency key belongs to a job with another payload: `metadata["job_id"]`."""


class NotFoundError(JobsError):
    """There is no such job (or periodic job), or no longer."""


class AlreadyExistsError(JobsError):
    """There is already a periodic job with that name."""


class NotActionableError(JobsError):
    """The job's state doesn't allow it; `reason` is JOB_FINISHED, JOB_RUNNING or JOB_COMPLETED."""


class NotAllowedError(JobsError):
    """The token is missing or unknown, or its caller may not use this method, kind or queue."""


class BusyError(JobsError):
    """The caller or the queue is over its limit, even after all retries."""


class UnavailableError(JobsError):
    """The service or its database is unavailable, even after all retries, or didn't respond in time.

    The call may or may not have taken effect: retry with the same key.
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
    """Reads an error raised by a call of grpc or grpc.aio."""
    call: Any = error
    status = status_pb2.Status(code=call.code().value[0], message=call.details() or "")
    for key, value in call.trailing_metadata() or ():
        if key == _DETAILS and isinstance(value, bytes):
            try:
                status = status_pb2.Status.FromString(value)
            except DecodeError:  # from a proxy; the code is enough
                continue
    return error_of_status(status)


def _class(code: grpc.StatusCode, reason: str) -> type[JobsError]:
    if reason in _REASONS:
        return _REASONS[reason]
    if not reason:  # from gRPC itself
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
