"""Queues: which there are, how they are doing, what holds for them."""

# ruff: noqa: N802, ARG002 (names and parameters are the contract's)

from typing import Any

from google.protobuf.json_format import MessageToDict

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.queue import (
    BoundedCount,
    JobState,
    Queue,
    QueueStats,
    count_jobs_up_to_async,
    limit_queue_async,
    list_queues_async,
    queue_stats_async,
    set_retention_async,
)
from jobs_service.convert.queues import read_retention, write_queue, write_stats
from jobs_service.database import Connection
from jobs_service.rpc.base import Methods

MOST_COUNTED = 100_000
"""Of a queue's line, and of all jobs that wait for a time: what an answer costs is bounded."""


class QueuesMethods(Methods):
    """Tells of queues, and changes what holds for them."""

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Any) -> pb.ListQueuesResponse:
        """Lists the queues there are, by name."""
        limits = self._depths.limits
        queues = {name: Queue(name) for name in (*self._enqueuer.kinds.queues, *limits)}
        queues |= {queue.name: queue for queue in await self._database.run(list_queues_async)}
        return pb.ListQueuesResponse(queues=[write_queue(queues[name], limits.get(name)) for name in sorted(queues)])

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, context: Any) -> pb.GetQueueStatsResponse:
        """Answers how queues are doing; one that there isn't has no jobs and no workers."""
        counts, flows = await self._database.run(_look)
        wanted = request.queues or {*self._enqueuer.kinds.queues, *counts, *flows}
        return pb.GetQueueStatsResponse(
            stats=[write_stats(name, counts.get(name, {}), flows.get(name)) for name in sorted(set(wanted))]
        )

    async def UpdateQueue(self, request: pb.UpdateQueueRequest, context: Any) -> pb.UpdateQueueResponse:
        """Changes a queue's limit or retention."""
        name = request.queue
        retention = read_retention(request.retention)

        async def update(connection: Connection) -> Queue:
            queue = Queue(name)
            if request.HasField("max_running"):
                queue = await limit_queue_async(connection, name, request.max_running or None)
            if request.HasField("retention"):
                queue = await set_retention_async(connection, name, **retention)
            return next(iter(await list_queues_async(connection, [name])), queue)

        details = MessageToDict(request, preserving_proto_field_name=True)
        queue = await self._act("UpdateQueue", f"queue:{name}", update, details=details)
        return pb.UpdateQueueResponse(queue=write_queue(queue, self._depths.limits.get(name)))


async def _look(connection: Connection) -> tuple[dict[str, dict[JobState, BoundedCount]], dict[str, QueueStats]]:
    return await count_jobs_up_to_async(connection, MOST_COUNTED), await queue_stats_async(connection)
