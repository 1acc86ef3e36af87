"""The blocking client. `async_client` is the same with `await`; what both do is in `plans`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from headrace.client.calls import CALL_TIMEOUT, SERVICE, Answer, Call_, Calls, Invoke, Pause
from headrace.client.channel import OPTIONS, Tls, Token, headers, server_attributes
from headrace.client.errors import JobsError, error_of_call
from headrace.client.new_job import Enqueued, NewJob, Options
from headrace.jobs.v1 import explanation_pb2, job_pb2, kind_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb

Result = TypeVar("Result")


class JobsClient:
    """A client of a jobs service, for any number of threads. Close it, or use it in a `with` block.

    Calls that get no answer (UNAVAILABLE), or are asked to come back (RetryInfo), are repeated with growing pauses as
    long as `call_timeout` allows. That is safe: each job has an idempotency key, made for it unless you give one.

    Args:
        target: "host:port", or "dns:///host:port" for every address behind a name.
        token: The bearer token, or a function that returns it.
        tls: Certificates; None for plain text.
        call_timeout: How long a call may take, repeats included.
    """

    def __init__(
        self,
        target: str,
        *,
        token: Token | None = None,
        tls: Tls | None = None,
        call_timeout: timedelta = CALL_TIMEOUT,
    ) -> None:
        self._token = token
        self._calls = Calls(server_attributes(target), call_timeout)
        self._channel = (
            grpc.secure_channel(target, tls.credentials(), OPTIONS) if tls else grpc.insecure_channel(target, OPTIONS)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the connection; calls under way are cancelled."""
        self._channel.close()

    def enqueue(self, payload: Message, **options: Unpack[Options]) -> Enqueued:
        """Enqueues one job. When this returns, the job is committed and will run at least once.

        Args:
            payload: A message that is a kind of the service's.
            options: As `NewJob` has them: key, queue, priority, max_retries, timeout, run_at, unique, tags, metadata.

        Raises:
            JobsError: As one of its children, that says why.
            ValueError: `run_at` has no time zone.
        """
        return self._run(self._calls.enqueue(NewJob(payload, **options)))

    def enqueue_many(self, jobs: Sequence[NewJob]) -> Sequence[Enqueued | JobsError]:
        """Enqueues many jobs, each on its own; returns one result per job, in order.

        They travel in batches. What is refused for the moment (its queue is full, say) is sent again as long as
        `call_timeout` allows; what is refused for good does not stop the others: its JobsError is *returned*.

        Raises:
            JobsError: A whole batch was refused, or got no answer; the batches before it are enqueued. Repeat it with
                the same jobs: their keys make that safe.
        """
        return self._run(self._calls.enqueue_many(jobs))

    def get(self, job_id: str) -> job_pb2.Job:
        """Returns one job. Raises NotFoundError."""
        return self.call(pb.GetJobRequest(job_id=job_id), pb.GetJobResponse).job

    def list(self, job_filter: job_pb2.JobFilter | None = None, *, page_size: int = 0) -> Iterator[job_pb2.Job]:
        """Lists all jobs that match a filter, newest first; asks for the next page when it is needed."""
        page = pb.ListJobsRequest(filter=job_filter, page_size=page_size)
        while True:
            answer = self.call(page, pb.ListJobsResponse)
            yield from answer.jobs
            if not answer.next_page_token:
                return
            page.page_token = answer.next_page_token

    def wait(self, job_id: str, *, timeout: timedelta) -> job_pb2.Job:
        """Waits until a job has ended, and returns it; looks at it at most 20 times a second, then less often.

        Raises:
            WaitTimeoutError: It has not in this time; a TimeoutError with the job.
            NotFoundError: There is no such job.
        """
        return self._run(self._calls.wait(job_id, timeout))

    def cancel(self, job_id: str) -> job_pb2.Job:
        """Cancels a job: one that waits at once, one that runs within a second.

        Raises NotFoundError, NotActionableError.
        """
        return self.call(pb.CancelJobRequest(job_id=job_id), pb.CancelJobResponse).job

    def retry(self, job_id: str) -> job_pb2.Job:
        """Puts a job back into line, with a fresh retry budget. Raises NotFoundError, NotActionableError."""
        return self.call(pb.RetryJobRequest(job_id=job_id), pb.RetryJobResponse).job

    def delete(self, job_id: str) -> None:
        """Deletes a job that does not run. Not repeated where no answer came.

        Raises NotFoundError, NotActionableError.
        """
        self.call(pb.DeleteJobRequest(job_id=job_id), pb.DeleteJobResponse)

    def explain(self, job_id: str) -> explanation_pb2.Explanation:
        """Says why a job does not run: one reason, with its evidence, and a sentence. Raises NotFoundError."""
        return self.call(pb.ExplainJobRequest(job_id=job_id), pb.ExplainJobResponse).explanation

    def kinds(self) -> Sequence[kind_pb2.JobKind]:
        """Lists the kinds that this client may enqueue, with their fields and rules."""
        return self.call(pb.ListKindsRequest(), pb.ListKindsResponse).kinds

    def call(self, request: Message, answer: type[Answer]) -> Answer:
        """Calls any method of the contract, with the same repeats, errors and spans.

            jobs.call(PauseQueueRequest(queue="email"), PauseQueueResponse).queue

        Raises:
            TypeError: It is no method's request.
            JobsError: As one of its children, that says why.
        """
        return self._run(self._calls.call(request, answer))

    def _run(self, call_: Call_[Result]) -> Result:
        """Drives a plan."""
        try:
            step = next(call_)
            while True:
                try:
                    answer = self._do(step)
                except grpc.RpcError as error:
                    step = call_.throw(error_of_call(error))
                else:
                    step = call_.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            call_.close()

    def _do(self, step: Invoke | Pause) -> Message | None:
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        method = self._method(step)
        answer: Message = method(step.request, timeout=step.timeout, metadata=headers(self._token, step.headers))
        return answer

    def _method(self, step: Invoke) -> Any:
        return self._channel.unary_unary(
            f"/{SERVICE}/{step.method}",
            request_serializer=type(step.request).SerializeToString,
            response_deserializer=step.answer.FromString,
        )
