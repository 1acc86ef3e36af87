"""What is asked about, and done to, one job; and lists of jobs."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

import grpc

from headrace.chassis.rpc_errors import RpcError, bad_request, error_info
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import JobFilter, cancel_job, get_job, list_jobs, retry_job
from jobs_service.paging import read_page_token, write_page_token
from jobs_service.rpc.part import Part
from jobs_service.translate import read_job_id, read_state, write_job

DEFAULT_PAGE = 50
# A page ends early rather than being larger than what clients take by default, which is 4 MiB.
PAGE_BYTES = 3 * 1024 * 1024


class JobsPart(Part):
    """Looks jobs up, cancels and retries them."""

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Answers one job."""
        job_id = read_job_id(request.job_id)
        return pb.GetJobResponse(job=write_job(await self._database.run(lambda c: get_job(c, job_id))))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """Lists jobs, newest first."""
        wanted = JobFilter(
            states=tuple(read_state(state) for state in request.filter.states),
            kinds=_names("filter.kinds", request.filter.kinds),
            queues=_names("filter.queues", request.filter.queues),
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


def _names(field: str, names: Any) -> tuple[str, ...]:
    if any("\0" in name for name in names):
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"A name in {field} contains NUL.",
            error_info("REQUEST_INVALID"),
            bad_request([(field, "must not contain NUL")]),
        )
    return tuple(names)
