"""What a failure means for a job, decided in one place for every handler.

A failure that another attempt may mend is a retry; one that it can't is a discard, with the reason; being told to come
back later is a snooze, which spends no attempt. Anything else that a handler raises is the engine's to record.
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
from jobs_service.mail_sender import MailNotSentError, MailRejectedError
from jobs_service.stripe_reader import StripeRejectedError, StripeUnavailableError

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
"""What the api says about the request itself. A refused token, or a method that it doesn't know yet, is not that."""


def outcomes(handle: Handle[M]) -> Handle[M]:
    """Makes a handler answer an outcome where it raises a failure that is known, and its log lines name the job."""

    async def handled(message: M, job: RunningJob) -> Outcome:
        structlog.contextvars.bind_contextvars(job_id=str(job.id), attempt=job.attempt)  # in this attempt's own context
        try:
            return await handle(message, job)
        except grpc.aio.AioRpcError as error:
            return of_rpc_error(error)
        except (MailRejectedError, StripeRejectedError) as error:
            return Discard(str(error))
        except (MailNotSentError, StripeUnavailableError) as error:
            return Retry(error=str(error))

    return handled


def of_rpc_error(error: grpc.aio.AioRpcError) -> Outcome:
    """What an error of the api means for the job that asked."""
    told = f"the api answered {error.code().name}: {error.details()}"
    after = retry_delay(error)
    if error.code() in _FINAL:
        return Discard(told)
    if error.code() is grpc.StatusCode.ABORTED and after is not None:
        return Snooze(after)
    return Retry(after=after, error=told)


def retry_delay(error: grpc.aio.AioRpcError) -> timedelta | None:
    """When the api says to come back (google.rpc.RetryInfo), from now; None where it doesn't say."""
    status = rpc_status.from_call(error)
    for detail in status.details if status is not None else ():
        info = error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            delay: timedelta = info.retry_delay.ToTimedelta()
            return delay
    return None
