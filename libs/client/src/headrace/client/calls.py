"""The calls of the client, written once for the blocking and the asynchronous client.

A call is a generator that yields steps (invoke a method, pause) and is sent their results. Each client runs it with
its own I/O. So retries, deadlines, spans and errors are the same in both.
"""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import Span, SpanKind, StatusCode

from headrace.client.errors import JobsError, error_of_status
from headrace.client.new_job import Enqueued, NewJob
from headrace.jobs.v1 import job_pb2, jobs_service_pb2

SERVICE = "headrace.jobs.v1.JobsService"
CALL_TIMEOUT = timedelta(seconds=30)
BATCH_JOBS = 500
"""The most jobs in one call: half of a service's default limit."""
BATCH_BYTES = 16 * 1024 * 1024
"""The largest request: a quarter of a service's default limit."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 5.0
FIRST_LOOK, SELDOMEST_LOOK = 0.05, 1.0

# A server that is stopping returns CANCELLED for calls it has received but not started.
_PASSING = frozenset({grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.ABORTED, grpc.StatusCode.CANCELLED})
# If one of these took effect but its response was lost, a retry would return an error.
_ONCE = frozenset({"DeleteJob", "CreatePeriodicJob", "DeletePeriodicJob"})
ENDED = frozenset(
    {
        job_pb2.JOB_STATE_COMPLETED,
        job_pb2.JOB_STATE_CANCELLED,
        job_pb2.JOB_STATE_DISCARDED,
        job_pb2.JOB_STATE_QUARANTINED,
    }
)
_tracer = trace.get_tracer("headrace.client")


@dataclass(frozen=True)
class Invoke:
    """A step: call a method. The generator is sent the response, or JobsError is thrown into it."""

    method: str
    request: Message
    answer: type[Message]
    timeout: float
    """In seconds."""
    headers: dict[str, str]


@dataclass(frozen=True)
class Pause:
    """A step: wait."""

    seconds: float


Response = TypeVar("Response", bound=Message)
Result = TypeVar("Result")
Steps = Generator[Invoke | Pause, Any, Result]


class WaitTimeoutError(TimeoutError):
    """A job had not finished within the time that the caller wanted to wait."""

    def __init__(self, job: job_pb2.Job, timeout: timedelta) -> None:
        state = job_pb2.JobState.Name(job.state).removeprefix("JOB_STATE_").lower()
        super().__init__(f"the job {job.id} has not finished within {timeout.total_seconds():g} s: it is {state}")
        self.job = job
        """The job as it was last seen."""


class Deadline:
    """The time by which a call must finish, including retries."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    @property
    def left(self) -> float:
        """The seconds until then; never negative."""
        return max(0.0, self._at - time.monotonic())


def method_of(request: Message) -> str:
    """Returns the method that takes this request. Raises TypeError if there is none."""
    name = request.DESCRIPTOR.name.removesuffix("Request")
    if name not in jobs_service_pb2.DESCRIPTOR.services_by_name["JobsService"].methods_by_name:
        raise TypeError(f"no method of JobsService takes a {request.DESCRIPTOR.full_name}")
    return name


class Calls:
    """The plans of a client."""

    def __init__(self, server: Mapping[str, Any], call_timeout: timedelta) -> None:
        """`server` has the spans' attributes of the service; `call_timeout` limits a call, including retries."""
        self._server = server
        self._seconds = call_timeout.total_seconds()

    def call(self, request: Message, answer: type[Response], deadline: Deadline | None = None) -> Steps[Response]:
        """Calls the method of a request, and retries if that may help and is safe. Raises JobsError."""
        method = method_of(request)
        deadline = deadline or Deadline(self._seconds)
        for turn in count():
            try:
                return (yield from self._once(method, request, answer, deadline))
            except JobsError as error:
                if not _may_pass(error) or method in _ONCE:
                    raise
                pause = _pause(turn, error.retry_after)
                if pause >= deadline.left:
                    raise
            yield Pause(pause)
        raise AssertionError

    def enqueue(self, job: NewJob) -> Steps[Enqueued]:
        """Enqueues one job. Raises JobsError."""
        try:
            answer = yield from self.call(job.message(), jobs_service_pb2.EnqueueResponse)
        except JobsError as error:
            error.add_note(f"idempotency key: {job.key}")
            raise
        return _enqueued(job, answer)

    def enqueue_many(self, jobs: Sequence[NewJob]) -> Steps[list[Enqueued | JobsError]]:
        """Enqueues jobs, a batch at a time, and retries those rejected for the moment. Raises JobsError."""
        origin = _current()
        messages = [job.message(origin) for job in jobs]
        results: dict[int, Enqueued | JobsError] = {}
        for first in _batches(messages):
            batch: Sequence[int] = first
            deadline = Deadline(self._seconds)
            for turn in count():
                request = jobs_service_pb2.EnqueueBatchRequest(requests=[messages[place] for place in batch])
                answer = yield from self.call(request, jobs_service_pb2.EnqueueBatchResponse, deadline)
                for place, result in zip(batch, answer.results, strict=True):
                    results[place] = _result(jobs[place], result)
                refused = {place: each for place in batch if isinstance(each := results[place], JobsError)}
                again = {place: _pause(turn, each.retry_after) for place, each in refused.items() if _may_pass(each)}
                if not again or max(again.values()) >= deadline.left:
                    break
                batch = list(again)
                yield Pause(max(again.values()))
        return [results[place] for place in range(len(jobs))]

    def wait(self, job_id: str, timeout: timedelta) -> Steps[job_pb2.Job]:
        """Polls a job, less and less often, until it has finished. Raises WaitTimeoutError and JobsError."""
        deadline = Deadline(timeout.total_seconds())
        request = jobs_service_pb2.GetJobRequest(job_id=job_id)
        for turn in count():
            job = (yield from self.call(request, jobs_service_pb2.GetJobResponse)).job
            if job.state in ENDED:
                return job
            if not deadline.left:
                raise WaitTimeoutError(job, timeout)
            yield Pause(min(FIRST_LOOK * 1.5 ** min(turn, 20), SELDOMEST_LOOK, deadline.left))
        raise AssertionError

    def _once(self, method: str, request: Message, answer: type[Response], deadline: Deadline) -> Steps[Response]:
        """Makes one call, in a CLIENT span by the RPC conventions."""
        name = f"{SERVICE}/{method}"
        attributes = {"rpc.system.name": "grpc", "rpc.method": name, **self._server}
        span = _tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        headers: dict[str, str] = {}
        inject(headers, trace.set_span_in_context(span))
        code = grpc.StatusCode.CANCELLED
        try:
            response: Response = yield Invoke(method, request, answer, deadline.left, headers)
            code = grpc.StatusCode.OK
        except JobsError as error:
            code = error.code
            raise
        finally:
            _end(span, code)
        return response


def _batches(messages: Sequence[Message]) -> Iterator[list[int]]:
    """Yields the positions of the messages, as many at a time as fit into one call."""
    size = 0
    batch: list[int] = []
    for place, message in enumerate(messages):
        size += message.ByteSize()
        if batch and (len(batch) == BATCH_JOBS or size > BATCH_BYTES):
            yield batch
            batch, size = [], message.ByteSize()
        batch.append(place)
    if batch:
        yield batch


def _may_pass(error: JobsError) -> bool:
    """Whether the same call may succeed later. Exceeding a limit without RetryInfo is permanent."""
    return error.code in _PASSING or error.retry_after is not None


def _result(job: NewJob, result: jobs_service_pb2.EnqueueResult) -> Enqueued | JobsError:
    return _enqueued(job, result.accepted) if result.HasField("accepted") else error_of_status(result.refused)


def _end(span: Span, code: grpc.StatusCode) -> None:
    span.set_attribute("rpc.response.status_code", code.name)
    if code is not grpc.StatusCode.OK:
        span.set_attribute("error.type", code.name)
        span.set_status(StatusCode.ERROR)
    span.end()


def _current() -> jobs_service_pb2.TraceContext | None:
    """Returns the trace context of a batch's items; a call for a single job has it in its headers."""
    headers: dict[str, str] = {}
    inject(headers)
    if "traceparent" not in headers:
        return None
    return jobs_service_pb2.TraceContext(
        traceparent=headers["traceparent"],
        tracestate=headers.get("tracestate", ""),
        baggage=headers.get("baggage", ""),
    )


def _pause(turn: int, asked: float | None) -> float:
    """Exponential, with full jitter; never shorter than the service asks for."""
    longest = min(FIRST_PAUSE * 2 ** min(turn, 10), LONGEST_PAUSE)
    return (asked or 0.0) + random.uniform(0, longest)


def _enqueued(job: NewJob, answer: jobs_service_pb2.EnqueueResponse) -> Enqueued:
    return Enqueued(answer.job_id, job.key, answer.duplicate, answer.duplicate_by)
