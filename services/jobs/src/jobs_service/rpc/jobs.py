"""GetJob and ListJobs, and what a caller may do to one job."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import (
    JobFilter,
    JobPage,
    cancel_job_async,
    delete_job_async,
    get_job_async,
    list_jobs_async,
    retry_job_async,
)
from jobs_service.convert.jobs import read_filter, read_job_id
from jobs_service.convert.page_tokens import read_page_token, write_page_token
from jobs_service.rpc.base import Methods

T = TypeVar("T")

DEFAULT_PAGE = 50
# A larger page ends early: clients accept responses of up to 4 MiB by default.
PAGE_BYTES = 3 * 1024 * 1024
# How many seconds to search for the first job of a page: each query scans a bounded number of jobs.
SEARCH_TIMEOUT = 0.5


class JobsMethods(Methods):
    """Looks jobs up, cancels, retries and deletes them."""

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Returns one job."""
        job = await self._database.call(get_job_async, read_job_id(request.job_id))
        return pb.GetJobResponse(job=self._seen.job(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """Lists jobs, newest first."""
        wanted = read_filter(request.filter, self._enqueuer.kinds)
        before = read_page_token(wanted, request.page_token)
        size = request.page_size or DEFAULT_PAGE
        page = await self._page(wanted, size + 1, before)
        response = pb.ListJobsResponse()
        following = page.before_id
        space = PAGE_BYTES
        for job in page:
            written = self._seen.job(job)
            space -= written.ByteSize()
            if len(response.jobs) == size or (space < 0 and response.jobs):
                following = int(response.jobs[-1].id)
                break
            response.jobs.append(written)
        if following is not None:
            response.next_page_token = write_page_token(wanted, following)
        return response

    async def _page(self, wanted: JobFilter, limit: int, before_id: int | None) -> JobPage:
        """Returns the next page with jobs, or the last page; an empty one if no job is found in time."""
        clock = asyncio.get_running_loop().time
        deadline = clock() + SEARCH_TIMEOUT
        while True:
            page = await self._database.call(list_jobs_async, wanted, limit=limit, before_id=before_id)
            if page or page.before_id is None or clock() > deadline:
                return page
            before_id = page.before_id

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """Cancels a job."""
        return pb.CancelJobResponse(
            job=self._seen.job(await self._on_job("CancelJob", request.job_id, cancel_job_async))
        )

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Makes a job available again."""
        return pb.RetryJobResponse(job=self._seen.job(await self._on_job("RetryJob", request.job_id, retry_job_async)))

    async def DeleteJob(self, request: pb.DeleteJobRequest, context: Any) -> pb.DeleteJobResponse:
        """Deletes a job."""
        await self._on_job("DeleteJob", request.job_id, delete_job_async)
        return pb.DeleteJobResponse()

    async def _on_job(self, action: str, job_id: str, act: Callable[..., Awaitable[T]]) -> T:
        number = read_job_id(job_id)
        return await self._act(
            action, f"job:{number}", lambda connection: act(connection, number, schema=self._schema), jobs=1
        )
