"""Queues: their names, statistics and limits."""

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
"""At most how many available or scheduled jobs are counted, so that the cost of a call is bounded."""


class QueuesMethods(Methods):
    """Lists queues and changes their limits."""

    async def ListQueues(self, request: pb.ListQueuesRequest, context: Any) -> pb.ListQueuesResponse:
        """Lists all queues, by name."""
        limits = self._depths.limits
        queues = {name: Queue(name) for name in (*self._enqueuer.kinds.queues, *limits)}
        queues |= {queue.name: queue for queue in await self._database.call(list_queues_async)}
        return pb.ListQueuesResponse(queues=[write_queue(queues[name], limits.get(name)) for name in sorted(queues)])

    async def GetQueueStats(self, request: pb.GetQueueStatsRequest, context: Any) -> pb.GetQueueStatsResponse:
        """Returns statistics of queues. An unknown queue has no jobs and no workers."""
        counts, flows = await self._database.run(lambda c: _counts_and_flows(c, self._schema))
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
                queue = await limit_queue_async(connection, name, request.max_running or None, schema=self._schema)
            if request.HasField("retention"):
                queue = await set_retention_async(connection, name, **retention, schema=self._schema)
            return next(iter(await list_queues_async(connection, [name], schema=self._schema)), queue)

        details = MessageToDict(request, preserving_proto_field_name=True)
        queue = await self._act("UpdateQueue", f"queue:{name}", update, details=details)
        return pb.UpdateQueueResponse(queue=write_queue(queue, self._depths.limits.get(name)))


async def _counts_and_flows(
    connection: Connection, schema: str
) -> tuple[dict[str, dict[JobState, BoundedCount]], dict[str, QueueStats]]:
    counts = await count_jobs_up_to_async(connection, MOST_COUNTED, schema=schema)
    return counts, await queue_stats_async(connection, schema=schema)
