"""Pausing and resuming queues, kinds, or everything."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from functools import partial
from typing import Any

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import (
    Pause,
    list_pauses_async,
    pause_all_async,
    pause_kind_async,
    pause_queue_async,
    resume_all_async,
    resume_kind_async,
    resume_queue_async,
)
from jobs_service.convert.jobs import names_of
from jobs_service.convert.queues import write_pause, write_queue
from jobs_service.database import Connection
from jobs_service.rpc.base import Methods


class PausesMethods(Methods):
    """Pauses and resumes."""

    async def PauseQueue(self, request: pb.PauseQueueRequest, context: Any) -> pb.PauseQueueResponse:
        """Pauses a queue: its jobs are not claimed."""
        caller, name = self._callers.current().name, request.queue
        queue = await self._act(
            "PauseQueue", f"queue:{name}", lambda c: pause_queue_async(c, name, by=caller, schema=self._schema)
        )
        return pb.PauseQueueResponse(queue=write_queue(queue, self._depths.limits.get(name)))

    async def ResumeQueue(self, request: pb.ResumeQueueRequest, context: Any) -> pb.ResumeQueueResponse:
        """Resumes a queue."""
        name = request.queue
        queue = await self._act(
            "ResumeQueue", f"queue:{name}", lambda c: resume_queue_async(c, name, schema=self._schema)
        )
        return pb.ResumeQueueResponse(queue=write_queue(queue, self._depths.limits.get(name)))

    async def PauseKind(self, request: pb.PauseKindRequest, context: Any) -> pb.PauseKindResponse:
        """Pauses a kind: its jobs are not claimed."""
        caller, kind = self._callers.current().name, request.kind

        async def pause(connection: Connection) -> Pause:
            first, *_ = [
                await pause_kind_async(connection, name, by=caller, schema=self._schema)
                for name in names_of(kind, self._enqueuer.kinds)
            ]
            return first

        return pb.PauseKindResponse(pause=write_pause(await self._act("PauseKind", f"kind:{kind}", pause)))

    async def ResumeKind(self, request: pb.ResumeKindRequest, context: Any) -> pb.ResumeKindResponse:
        """Resumes a kind."""
        kind = request.kind

        async def resume(connection: Connection) -> bool:
            were_paused = [
                await resume_kind_async(connection, name, schema=self._schema)
                for name in names_of(kind, self._enqueuer.kinds)
            ]
            return any(were_paused)

        return pb.ResumeKindResponse(was_paused=await self._act("ResumeKind", f"kind:{kind}", resume))

    async def PauseAll(self, request: pb.PauseAllRequest, context: Any) -> pb.PauseAllResponse:
        """Pauses everything: no jobs are claimed."""
        caller = self._callers.current().name
        pause = await self._act("PauseAll", "all", partial(pause_all_async, by=caller, schema=self._schema))
        return pb.PauseAllResponse(pause=write_pause(pause))

    async def ResumeAll(self, request: pb.ResumeAllRequest, context: Any) -> pb.ResumeAllResponse:
        """Resumes all jobs."""
        resumed = await self._act("ResumeAll", "all", partial(resume_all_async, schema=self._schema))
        return pb.ResumeAllResponse(was_paused=resumed)

    async def ListPauses(self, request: pb.ListPausesRequest, context: Any) -> pb.ListPausesResponse:
        """Lists everything that is paused."""
        pauses = await self._database.call(list_pauses_async)
        return pb.ListPausesResponse(pauses=[write_pause(pause) for pause in pauses])
