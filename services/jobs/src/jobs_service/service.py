"""JobsService as it is served: each method reads its request, asks the engine in one transaction, writes the answer.

Errors are raised as the engine raises them; the server's boundary turns them into statuses (`refusals`).
"""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

import grpc

from headrace.chassis.rpc_errors import RpcError, bad_request, error_info
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.queue import Door, JobFilter, cancel_job, get_job, list_jobs, pause_queue, resume_queue, retry_job
from jobs_service.callers import Callers
from jobs_service.database import Database
from jobs_service.intake import Intake
from jobs_service.paging import read_page_token, write_page_token
from jobs_service.translate import read_job_id, read_state, write_job, write_kind, write_queue

DEFAULT_PAGE = 50
# A page ends early rather than being larger than what clients take by default, which is 4 MiB.
PAGE_BYTES = 3 * 1024 * 1024

SELF_VALIDATING = ("headrace.jobs.v1.JobsService/Enqueue", "headrace.jobs.v1.JobsService/EnqueueBatch")
"""Methods that check the rules of their items themselves, each for itself and together with its payload."""


class JobsServicer(jobs_service_pb2_grpc.JobsServiceServicer):
    """The nine methods of headrace.jobs.v1.JobsService."""

    def __init__(self, door: Door, database: Database, callers: Callers) -> None:
        self._kinds = door.kinds
        self._database = database
        self._callers = callers
        self._intake = Intake(door, database)

    async def Enqueue(self, request: pb.EnqueueRequest, context: Any) -> pb.EnqueueResponse:
        """Accepts one job."""
        (result,) = await self._intake.accept([request], self._callers.current())
        if isinstance(result, RpcError):
            raise result
        return pb.EnqueueResponse(job_id=str(result.job_id), duplicate=result.duplicate)

    async def EnqueueBatch(self, request: pb.EnqueueBatchRequest, context: Any) -> pb.EnqueueBatchResponse:
        """Accepts many jobs, each on its own."""
        if not request.requests:
            raise RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "The batch has no requests.",
                error_info("REQUEST_INVALID"),
                bad_request([("requests", "must contain at least 1 item")]),
            )
        answer = pb.EnqueueBatchResponse()
        for result in await self._intake.accept(request.requests, self._callers.current()):
            if isinstance(result, RpcError):
                answer.results.add(refused=result.status())
            else:
                accepted = pb.EnqueueResponse(job_id=str(result.job_id), duplicate=result.duplicate)
                answer.results.add(accepted=accepted)
        return answer

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Answers one job."""
        job_id = read_job_id(request.job_id)
        return pb.GetJobResponse(job=write_job(await self._database.run(lambda c: get_job(c, job_id))))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """Lists jobs, newest first."""
        wanted = JobFilter(
            states=tuple(read_state(state) for state in request.states),
            kinds=_names("kinds", request.kinds),
            queues=_names("queues", request.queues),
        )
        before = read_page_token(wanted, request.page_token)
        size = request.page_size or DEFAULT_PAGE
        jobs = await self._database.run(lambda c: list_jobs(c, wanted, limit=size + 1, before_id=before))
        answer = pb.ListJobsResponse()
        space = PAGE_BYTES
        for job in jobs[:size]:
            written = write_job(job)
            space -= written.ByteSize()
            if space < 0 and answer.jobs:
                break
            answer.jobs.append(written)
        if len(answer.jobs) < len(jobs):
            answer.next_page_token = write_page_token(wanted, jobs[len(answer.jobs) - 1].id)
        return answer

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """Cancels a job."""
        job_id = read_job_id(request.job_id)
        return pb.CancelJobResponse(job=write_job(await self._database.run(lambda c: cancel_job(c, job_id))))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Puts a job back into line."""
        job_id = read_job_id(request.job_id)
        return pb.RetryJobResponse(job=write_job(await self._database.run(lambda c: retry_job(c, job_id))))

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Any) -> pb.PauseQueueResponse:
        """Stops the claiming of a queue's jobs."""
        caller = self._callers.current().name
        queue = await self._database.run(lambda c: pause_queue(c, request.queue, by=caller))
        return pb.PauseQueueResponse(queue=write_queue(queue))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Any) -> pb.ResumeQueueResponse:
        """Lets a paused queue run again."""
        queue = await self._database.run(lambda c: resume_queue(c, request.queue))
        return pb.ResumeQueueResponse(queue=write_queue(queue))

    async def ListKinds(self, request: pb.ListKindsRequest, context: Any) -> pb.ListKindsResponse:
        """Lists the kinds that the caller may enqueue."""
        caller = self._callers.current()
        return pb.ListKindsResponse(kinds=[write_kind(kind) for kind in self._kinds if caller.may_enqueue(kind.name)])


def _names(field: str, names: Any) -> tuple[str, ...]:
    if any("\0" in name for name in names):
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"A name in {field} contains NUL.",
            error_info("REQUEST_INVALID"),
            bad_request([(field, "must not contain NUL")]),
        )
    return tuple(names)
