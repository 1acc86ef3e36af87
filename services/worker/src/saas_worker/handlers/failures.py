"""Maps the failures of the api, the SMTP server and Stripe to outcomes, in one place for every handler.

A failure that another attempt may fix is a retry. One that it can't is a discard, with the reason. A request to come
back later is a snooze, which spends no attempt. The engine records anything else that a handler raises.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import grpc
import grpc.aio
import structlog
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headrace.queue import Discard, Outcome, Retry, RunningJob, Snooze
from saas_worker.outbound.smtp import MailNotSentError, MailRejectedError
from saas_worker.outbound.stripe import StripeRejectedError, StripeUnavailableError

M = TypeVar("M", bound=Message)
Handle = Callable[[M, RunningJob], Awaitable[Outcome]]

_FINAL = frozenset(
    {
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.NOT_FOUND,
        grpc.StatusCode.ALREADY_EXISTS,
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.OUT_OF_RANGE,
    }
)
"""The request itself is wrong. A rejected token, or a method that an older api doesn't have, can still be fixed."""


def with_outcomes(handle: Handle[M]) -> Handle[M]:
    """Makes a handler return an outcome for each known failure, and adds the job's id to its log lines."""

    async def handled(message: M, job: RunningJob) -> Outcome:
        structlog.contextvars.bind_contextvars(job_id=str(job.id), attempt=job.attempt)  # each attempt has a context
        try:
            return await handle(message, job)
        except grpc.aio.AioRpcError as error:
            return outcome_of(error)
        except (MailRejectedError, StripeRejectedError) as error:
            return Discard(str(error))
        except (MailNotSentError, StripeUnavailableError) as error:
            return Retry(error=str(error))

    return handled


def outcome_of(error: grpc.aio.AioRpcError) -> Outcome:
    """Returns the outcome of a job whose call to the api failed."""
    reason = f"the api returned {error.code().name}: {error.details()}"
    after = retry_delay(error)
    if error.code() in _FINAL:
        return Discard(reason)
    if error.code() is grpc.StatusCode.ABORTED and after is not None:
        return Snooze(after)
    return Retry(after=after, error=reason)


def retry_delay(error: grpc.aio.AioRpcError) -> timedelta | None:
    """Returns the delay that the api asks for (google.rpc.RetryInfo); None if it asks for none."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            delay: timedelta = info.retry_delay.ToTimedelta()
            return delay
    return None
