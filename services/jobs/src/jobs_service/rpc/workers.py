"""ListWorkers."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import list_workers_async
from jobs_service.convert.workers import write_worker
from jobs_service.rpc.base import Methods


class WorkersMethods(Methods):
    """Lists workers."""

    async def ListWorkers(self, request: pb.ListWorkersRequest, context: Any) -> pb.ListWorkersResponse:
        """Lists workers, the newest first."""
        workers = await self._database.call(list_workers_async, include_gone=request.include_gone)
        return pb.ListWorkersResponse(workers=[write_worker(worker) for worker in workers])
