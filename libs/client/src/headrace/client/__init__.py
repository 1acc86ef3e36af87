"""The client of a Headrace jobs service.

    with JobsClient("jobs:50051", token=token) as jobs:
        job = jobs.enqueue(SendVerificationEmail(mail_id=mail_id))
        jobs.wait(job.job_id, timeout=timedelta(minutes=1))

`AsyncJobsClient` is the same with `await`. Results are messages of the service's contract, headrace.jobs.v1.
"""

from headrace.client.async_client import AsyncJobsClient
from headrace.client.calls import WaitTimeoutError
from headrace.client.channel import Tls, Token
from headrace.client.errors import (
    AlreadyExistsError,
    BusyError,
    InvalidRequestError,
    JobsError,
    KeyReusedError,
    KindUnknownError,
    NotActionableError,
    NotAllowedError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
    Violation,
)
from headrace.client.new_job import Enqueued, NewJob, Unique, new_key
from headrace.client.sync_client import JobsClient

__all__ = [
    "AlreadyExistsError",
    "AsyncJobsClient",
    "BusyError",
    "Enqueued",
    "InvalidRequestError",
    "JobsClient",
    "JobsError",
    "KeyReusedError",
    "KindUnknownError",
    "NewJob",
    "NotActionableError",
    "NotAllowedError",
    "NotFoundError",
    "Tls",
    "Token",
    "TooLargeError",
    "UnavailableError",
    "Unique",
    "Violation",
    "WaitTimeoutError",
    "new_key",
]
