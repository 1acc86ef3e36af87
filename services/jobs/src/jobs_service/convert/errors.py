"""What the engine's errors mean to a client: the one table from its classes to codes, reasons and details."""

from collections.abc import Callable
from typing import Any

import grpc

from headrace.chassis.rpc.error_boundary import Translations
from headrace.chassis.rpc.errors import RpcError, bad_request, error_info, retry_info
from headrace.queue import (
    BatchTooLargeError,
    DatabaseUnavailableError,
    JobNotActionableError,
    JobNotFoundError,
    KeyReusedError,
    KindUnknownError,
    OptionInvalidError,
    PayloadInvalidError,
    PayloadTooLargeError,
    PayloadUnreadableError,
    PeriodicExistsError,
    PeriodicNotFoundError,
    QueueError,
    VersionUnknownError,
)

RETRY_SECONDS = 1.0

# The engine's names of options that the contract calls otherwise.
_OPTIONS = {"unique.by": "unique.fields"}


def kind_unknown(error: KindUnknownError) -> RpcError:
    """This server may be older than its caller: UNIMPLEMENTED, with the kinds there are."""
    metadata = {"kind": error.kind, "kinds": ",".join(error.known)}
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, _sentence(error), error_info("KIND_UNKNOWN", metadata))


def version_unknown(error: VersionUnknownError) -> RpcError:
    """This server is older than its caller: UNIMPLEMENTED, with the version that it knows."""
    metadata = {"kind": error.kind, "version": str(error.version), "known": str(error.known)}
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, _sentence(error), error_info("VERSION_UNKNOWN", metadata))


def payload_unreadable(error: PayloadUnreadableError) -> RpcError:
    """Bytes that are no message of their kind: INVALID_ARGUMENT."""
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        _sentence(error),
        error_info("PAYLOAD_UNREADABLE"),
        bad_request([("payload", error.reason)]),
    )


def payload_invalid(error: PayloadInvalidError) -> RpcError:
    """A payload against the rules of its .proto file: INVALID_ARGUMENT, with every field."""
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        _sentence(error),
        error_info("PAYLOAD_INVALID", {"kind": error.kind}),
        bad_request(
            [
                *((payload_path(found.field), found.description) for found in error.violations),
                *((option_path(found.field), found.description) for found in error.options),
            ]
        ),
    )


def option_invalid(error: OptionInvalidError) -> RpcError:
    """Options out of range: INVALID_ARGUMENT, with every field."""
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        _sentence(error),
        error_info("REQUEST_INVALID"),
        bad_request((option_path(found.field), found.description) for found in error.violations),
    )


def too_large(reason: str) -> Callable[[Any], RpcError]:
    """Over a limit that stays: OUT_OF_RANGE, with size and limit."""

    def translate(error: PayloadTooLargeError | BatchTooLargeError) -> RpcError:
        metadata = {"size": str(error.size), "limit": str(error.limit)}
        return RpcError(grpc.StatusCode.OUT_OF_RANGE, _sentence(error), error_info(reason, metadata))

    return translate


def key_reused(error: KeyReusedError) -> RpcError:
    """The key stands for a job with other bytes: FAILED_PRECONDITION."""
    metadata = {"job_id": str(error.job_id)}
    return RpcError(
        grpc.StatusCode.FAILED_PRECONDITION, _sentence(error), error_info("IDEMPOTENCY_KEY_REUSED", metadata)
    )


def job_not_found(error: JobNotFoundError) -> RpcError:
    """There is no such job: NOT_FOUND."""
    metadata = {"job_id": str(error.job_id)}
    return RpcError(grpc.StatusCode.NOT_FOUND, _sentence(error), error_info("JOB_NOT_FOUND", metadata))


def job_not_actionable(error: JobNotActionableError) -> RpcError:
    """Its state doesn't allow it: FAILED_PRECONDITION."""
    metadata = {"job_id": str(error.job.id), "state": error.job.state.value}
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, _sentence(error), error_info(error.reason, metadata))


def periodic_not_found(error: PeriodicNotFoundError) -> RpcError:
    """There is no such periodic job: NOT_FOUND."""
    return RpcError(
        grpc.StatusCode.NOT_FOUND, _sentence(error), error_info("PERIODIC_JOB_NOT_FOUND", {"name": error.name})
    )


def periodic_exists(error: PeriodicExistsError) -> RpcError:
    """There is one of that name: ALREADY_EXISTS."""
    return RpcError(
        grpc.StatusCode.ALREADY_EXISTS, _sentence(error), error_info("PERIODIC_JOB_EXISTS", {"name": error.name})
    )


def database_away(_error: DatabaseUnavailableError) -> RpcError:
    """Try again: UNAVAILABLE."""
    return RpcError(
        grpc.StatusCode.UNAVAILABLE,
        "The jobs database is away or too slow; try again with the same idempotency key.",
        error_info("DATABASE_AWAY"),
        retry_info(RETRY_SECONDS),
    )


def contended(_error: QueueError) -> RpcError:
    """The engine lost a race too often: ABORTED."""
    return RpcError(
        grpc.StatusCode.ABORTED,
        "Too many calls used the same idempotency keys at once; try again.",
        error_info("CONTENDED"),
        retry_info(RETRY_SECONDS),
    )


def payload_path(field: str) -> str:
    """Writes the path of a field of the payload as the request's field."""
    return f"payload.{field}" if field else "payload"


def option_path(field: str) -> str:
    """Writes the engine's name of an option as the request's field."""
    return _OPTIONS.get(field, field)


def _sentence(error: Exception) -> str:
    text = str(error)
    return text[:1].upper() + text[1:]


RPC_ERRORS: dict[type[Exception], Callable[[Any], RpcError]] = {
    KindUnknownError: kind_unknown,
    VersionUnknownError: version_unknown,
    PayloadUnreadableError: payload_unreadable,
    PayloadInvalidError: payload_invalid,
    PayloadTooLargeError: too_large("PAYLOAD_TOO_LARGE"),
    OptionInvalidError: option_invalid,
    KeyReusedError: key_reused,
    BatchTooLargeError: too_large("BATCH_TOO_LARGE"),
    JobNotFoundError: job_not_found,
    JobNotActionableError: job_not_actionable,
    PeriodicNotFoundError: periodic_not_found,
    PeriodicExistsError: periodic_exists,
    DatabaseUnavailableError: database_away,
    QueueError: contended,
}
TRANSLATIONS: Translations = RPC_ERRORS
"""For the server's boundary; the parent class stands last."""


def refusal(error: QueueError) -> RpcError:
    """Answers what a refused item means to the client."""
    return next(translate(error) for kind, translate in RPC_ERRORS.items() if isinstance(error, kind))
