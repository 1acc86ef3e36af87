"""The blocking client. `async_client` is the same with `await`; both run the plans of `calls`."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import grpc
from google.protobuf.message import Message

from headrace.client.calls import CALL_TIMEOUT, SERVICE, Calls, Invoke, Pause, Response, Steps
from headrace.client.channel import OPTIONS, Tls, Token, headers, server_attributes
from headrace.client.errors import JobsError, error_of_call
from headrace.client.new_job import Enqueued, NewJob, Options
from headrace.jobs.v1 import explanation_pb2, job_pb2, kind_pb2
from headrace.jobs.v1 import jobs_service_pb2 as pb

Result = TypeVar("Result")


class JobsClient:
    """A client of a jobs service, for any number of threads. Close it, or use it in a `with` block.

    It retries calls that get no response (UNAVAILABLE) or RetryInfo, with growing pauses, for up to `call_timeout`.
    That is safe, because each job has an idempotency key, which the client generates unless you pass one.

    Args:
        target: "host:port", or "dns:///host:port" for every address behind a name.
        token: The bearer token, or a function that returns it.
        tls: Certificates; None for plain text.
        call_timeout: How long a call may take, including retries.
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
        """Closes the connection and cancels calls in progress."""
        self._channel.close()

    def enqueue(self, payload: Message, **options: Unpack[Options]) -> Enqueued:
        """Enqueues one job. When this returns, the job is committed and will run at least once.

        Args:
            payload: A message that the service knows as a kind.
            options: Those of `NewJob`: key, queue, priority, max_retries, timeout, run_at, unique, tags, metadata.

        Raises:
            JobsError: A subclass says why.
            ValueError: `run_at` has no time zone.
        """
        return self._run(self._calls.enqueue(NewJob(payload, **options)))

    def enqueue_many(self, jobs: Sequence[NewJob]) -> Sequence[Enqueued | JobsError]:
        """Enqueues many jobs independently, and returns one result per job, in order.

        The client sends them in batches. It retries jobs that are rejected for the moment, for example because their
        queue is full, for up to `call_timeout`. A permanent rejection doesn't affect the other jobs: its JobsError is
        *returned*.

        Raises:
            JobsError: A whole batch was rejected, or got no response; the batches before it are enqueued. Retry with
                the same jobs: their keys make that safe.
        """
        return self._run(self._calls.enqueue_many(jobs))

    def get(self, job_id: str) -> job_pb2.Job:
        """Returns one job. Raises NotFoundError."""
        return self.call(pb.GetJobRequest(job_id=job_id), pb.GetJobResponse).job

    def list(self, job_filter: job_pb2.JobFilter | None = None, *, page_size: int = 0) -> Iterator[job_pb2.Job]:
        """Lists all jobs that match a filter, newest first; fetches the next page when it is needed."""
        page = pb.ListJobsRequest(filter=job_filter, page_size=page_size)
        while True:
            answer = self.call(page, pb.ListJobsResponse)
            yield from answer.jobs
            if not answer.next_page_token:
                return
            page.page_token = answer.next_page_token

    def wait(self, job_id: str, *, timeout: timedelta) -> job_pb2.Job:
        """Waits until a job has finished, and returns it; polls up to 20 times a second at first, then less often.

        Raises:
            WaitTimeoutError: It hasn't finished in time; a TimeoutError with the job.
            NotFoundError: There is no such job.
        """
        return self._run(self._calls.wait(job_id, timeout))

    def cancel(self, job_id: str) -> job_pb2.Job:
        """Cancels a waiting job at once, and a running job within a second.

        Raises NotFoundError, NotActionableError.
        """
        return self.call(pb.CancelJobRequest(job_id=job_id), pb.CancelJobResponse).job

    def retry(self, job_id: str) -> job_pb2.Job:
        """Makes a job available now, with a full retry budget. Raises NotFoundError, NotActionableError."""
        return self.call(pb.RetryJobRequest(job_id=job_id), pb.RetryJobResponse).job

    def delete(self, job_id: str) -> None:
        """Deletes a job that isn't running. The client doesn't retry this call if it gets no response.

        Raises NotFoundError, NotActionableError.
        """
        self.call(pb.DeleteJobRequest(job_id=job_id), pb.DeleteJobResponse)

    def explain(self, job_id: str) -> explanation_pb2.Explanation:
        """Explains why a job isn't running: one reason, with its evidence, and a sentence. Raises NotFoundError."""
        return self.call(pb.ExplainJobRequest(job_id=job_id), pb.ExplainJobResponse).explanation

    def kinds(self) -> Sequence[kind_pb2.JobKind]:
        """Lists the kinds that this client may enqueue, with their fields and rules."""
        return self.call(pb.ListKindsRequest(), pb.ListKindsResponse).kinds

    def call(self, request: Message, answer: type[Response]) -> Response:
        """Calls any method of the contract, with the same retries, errors and spans.

            jobs.call(PauseQueueRequest(queue="email"), PauseQueueResponse).queue

        Raises:
            TypeError: No method takes this request.
            JobsError: A subclass says why.
        """
        return self._run(self._calls.call(request, answer))

    def _run(self, steps: Steps[Result]) -> Result:
        """Runs the steps of a call."""
        try:
            step = next(steps)
            while True:
                try:
                    answer = self._do(step)
                except grpc.RpcError as error:
                    step = steps.throw(error_of_call(error))
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            steps.close()

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
