"""Queues: paused and resumed."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import pause_queue, resume_queue
from jobs_service.rpc.part import Part
from jobs_service.translate import write_queue


class QueuesPart(Part):
    """Acts on queues."""

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Any) -> pb.PauseQueueResponse:
        """Stops the claiming of a queue's jobs."""
        caller = self._callers.current().name
        queue = await self._database.run(lambda c: pause_queue(c, request.queue, by=caller))
        return pb.PauseQueueResponse(queue=write_queue(queue))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Any) -> pb.ResumeQueueResponse:
        """Lets a paused queue run again."""
        queue = await self._database.run(lambda c: resume_queue(c, request.queue))
        return pb.ResumeQueueResponse(queue=write_queue(queue))
