"""Enqueue and EnqueueBatch."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

import grpc

from headrace.chassis.rpc.errors import RpcError, bad_request, error_info
from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import Enqueuer
from jobs_service.callers.caller import Callers
from jobs_service.convert.enqueue import write_enqueued
from jobs_service.database import Database
from jobs_service.enqueue.queue_depth import QueueDepthLimits
from jobs_service.enqueue.service import RequestEnqueuer
from jobs_service.rpc.base import Methods

SELF_VALIDATING = tuple(
    f"headrace.jobs.v1.JobsService/{method}" for method in ("Enqueue", "EnqueueBatch", "ExplainJob")
)
"""Methods that validate their items themselves, each item separately and together with its payload."""


class EnqueueMethods(Methods):
    """Enqueues jobs."""

    def __init__(self, enqueuer: Enqueuer, database: Database, callers: Callers, depths: QueueDepthLimits) -> None:
        super().__init__(enqueuer, database, callers, depths)
        self._request_enqueuer = RequestEnqueuer(enqueuer, database, depths)

    async def Enqueue(self, request: pb.EnqueueRequest, context: Any) -> pb.EnqueueResponse:
        """Enqueues one job."""
        (result,) = await self._request_enqueuer.enqueue([request], self._callers.current(), message=request)
        if isinstance(result, RpcError):
            raise result
        response = pb.EnqueueResponse()
        write_enqueued(response, result)
        return response

    async def EnqueueBatch(self, request: pb.EnqueueBatchRequest, context: Any) -> pb.EnqueueBatchResponse:
        """Enqueues many jobs, each accepted or rejected separately."""
        if not request.requests:
            raise RpcError(
                grpc.StatusCode.INVALID_ARGUMENT,
                "The batch has no requests.",
                error_info("REQUEST_INVALID"),
                bad_request([("requests", "must contain at least 1 item")]),
            )
        response = pb.EnqueueBatchResponse()
        for result in await self._request_enqueuer.enqueue(request.requests, self._callers.current(), message=request):
            if isinstance(result, RpcError):
                response.results.add(refused=result.status())
            else:
                write_enqueued(response.results.add().accepted, result)
        return response
