"""Maps the engine's errors to gRPC statuses: classes to codes, reasons and details, fields to the contract's names."""

from collections.abc import Callable
from typing import Any

import grpc

from headrace.chassis.rpc.error_boundary import Translations
from headrace.chassis.rpc.errors import RpcError, bad_request, error_info, retry_info
from headrace.queue import (
    BatchTooLargeError,
    DatabaseUnavailableError,
    EnqueueError,
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
from jobs_service.convert.values import Violations

RETRY_SECONDS = 1.0

# The engine's names of options whose names differ in the contract.
_OPTIONS = {"unique.by": "unique.fields"}


def kind_unknown(error: KindUnknownError) -> RpcError:
    """Returns UNIMPLEMENTED with the known kinds: this server may be older than its caller."""
    metadata = {"kind": error.kind, "kinds": ",".join(error.known)}
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, _sentence(error), error_info("KIND_UNKNOWN", metadata))


def version_unknown(error: VersionUnknownError) -> RpcError:
    """Returns UNIMPLEMENTED with the known version: this server is older than its caller."""
    metadata = {"kind": error.kind, "version": str(error.version), "known": str(error.known)}
    return RpcError(grpc.StatusCode.UNIMPLEMENTED, _sentence(error), error_info("VERSION_UNKNOWN", metadata))


def payload_unreadable(error: PayloadUnreadableError) -> RpcError:
    """Returns INVALID_ARGUMENT: the payload can't be decoded."""
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        _sentence(error),
        error_info("PAYLOAD_UNREADABLE"),
        bad_request([("payload", error.reason)]),
    )


def payload_invalid(error: PayloadInvalidError) -> RpcError:
    """Returns INVALID_ARGUMENT with every violation of the payload's rules and of the options'."""
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        _sentence(error),
        error_info("PAYLOAD_INVALID", {"kind": error.kind}),
        bad_request(violations_of(error)),
    )


def option_invalid(error: OptionInvalidError) -> RpcError:
    """Returns INVALID_ARGUMENT with every option that is out of range."""
    return RpcError(
        grpc.StatusCode.INVALID_ARGUMENT,
        _sentence(error),
        error_info("REQUEST_INVALID"),
        bad_request(violations_of(error)),
    )


def too_large(reason: str) -> Callable[[Any], RpcError]:
    """Returns what maps an error to OUT_OF_RANGE with size and limit: retrying won't help."""

    def translate(error: PayloadTooLargeError | BatchTooLargeError) -> RpcError:
        metadata = {"size": str(error.size), "limit": str(error.limit)}
        return RpcError(grpc.StatusCode.OUT_OF_RANGE, _sentence(error), error_info(reason, metadata))

    return translate


def key_reused(error: KeyReusedError) -> RpcError:
    """Returns FAILED_PRECONDITION: the key identifies a job with another payload."""
    metadata = {"job_id": str(error.job_id)}
    return RpcError(
        grpc.StatusCode.FAILED_PRECONDITION, _sentence(error), error_info("IDEMPOTENCY_KEY_REUSED", metadata)
    )


def job_not_found(error: JobNotFoundError) -> RpcError:
    """Returns NOT_FOUND."""
    metadata = {"job_id": str(error.job_id)}
    return RpcError(grpc.StatusCode.NOT_FOUND, _sentence(error), error_info("JOB_NOT_FOUND", metadata))


def job_not_actionable(error: JobNotActionableError) -> RpcError:
    """Returns FAILED_PRECONDITION: the job's state doesn't allow the action."""
    metadata = {"job_id": str(error.job.id), "state": error.job.state.value}
    return RpcError(grpc.StatusCode.FAILED_PRECONDITION, _sentence(error), error_info(error.reason, metadata))


def periodic_not_found(error: PeriodicNotFoundError) -> RpcError:
    """Returns NOT_FOUND."""
    return RpcError(
        grpc.StatusCode.NOT_FOUND, _sentence(error), error_info("PERIODIC_JOB_NOT_FOUND", {"name": error.name})
    )


def periodic_exists(error: PeriodicExistsError) -> RpcError:
    """Returns ALREADY_EXISTS."""
    return RpcError(
        grpc.StatusCode.ALREADY_EXISTS, _sentence(error), error_info("PERIODIC_JOB_EXISTS", {"name": error.name})
    )


def database_away(_error: DatabaseUnavailableError) -> RpcError:
    """Returns UNAVAILABLE."""
    return RpcError(
        grpc.StatusCode.UNAVAILABLE,
        "The jobs database is unavailable or too slow; retry with the same idempotency key.",
        error_info("DATABASE_AWAY"),
        retry_info(RETRY_SECONDS),
    )


def contended(_error: QueueError) -> RpcError:
    """Returns ABORTED: the engine lost a race too often."""
    return RpcError(
        grpc.StatusCode.ABORTED,
        "Too many calls used the same idempotency keys at once; retry.",
        error_info("CONTENDED"),
        retry_info(RETRY_SECONDS),
    )


def violations_of(error: EnqueueError) -> Violations:
    """Returns what the engine found wrong with a job, by the fields of the request."""
    match error:
        case PayloadInvalidError(violations=payload, options=options):
            paths = ((f"payload.{found.field}" if found.field else "payload", found.description) for found in payload)
            return [*paths, *((_OPTIONS.get(found.field, found.field), found.description) for found in options)]
        case OptionInvalidError(violations=options):
            return [(_OPTIONS.get(found.field, found.field), found.description) for found in options]
    return []


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
"""For the server's error boundary. The parent class comes last."""


def refusal(error: QueueError) -> RpcError:
    """Returns the status of a rejected job."""
    return next(translate(error) for kind, translate in RPC_ERRORS.items() if isinstance(error, kind))
