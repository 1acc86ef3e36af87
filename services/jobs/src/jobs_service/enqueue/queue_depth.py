"""Limits how many jobs may be available in a queue; the service rejects jobs above the limit.

A queue is counted when a job for it arrives. The count is used for a second, plus the jobs that this server has
enqueued since, so several servers together may exceed a limit by what they enqueue in a second. Counting takes at most
about a twentieth of a connection's time, because deep queues are counted less often.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

import grpc

from headrace.chassis.rpc.errors import RpcError, error_info, retry_info
from headrace.queue import count_available_async
from jobs_service.database import Database

FRESH_SECONDS = 1.0
# A count is used at least so many times as long as counting took.
PAUSE_FACTOR = 20
RETRY_SECONDS = 5.0


class QueueDepthLimits:
    """The queues whose depth is limited.

    Args:
        limits: The most available jobs, by queue.
        database: The jobs database.
        clock: Returns seconds that only grow.
    """

    def __init__(
        self, limits: Mapping[str, int], database: Database, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.limits = limits
        self._queues = {queue: _QueueDepth(queue, limit, database, clock) for queue, limit in limits.items()}

    async def look(self, queues: Collection[str]) -> None:
        """Counts the queues that were not counted lately. Await it before `take`.

        Raises:
            DatabaseUnavailableError: They can't be counted.
        """
        for queue in self._queues.keys() & queues:
            await self._queues[queue].look()

    def take(self, queue: str) -> None:
        """Takes a place for a job that is about to be enqueued.

        Raises:
            RpcError: RESOURCE_EXHAUSTED (reason QUEUE_FULL), with RetryInfo.
        """
        if depth := self._queues.get(queue):
            depth.require_capacity()
            depth.take()

    def require_capacity(self, queue: str) -> None:
        """Raises what `take` would raise, but takes no place."""
        if depth := self._queues.get(queue):
            depth.require_capacity()


class _QueueDepth:
    """The depth of one queue, as it was last counted."""

    def __init__(self, queue: str, limit: int, database: Database, clock: Callable[[], float]) -> None:
        self._queue = queue
        self._limit = limit
        self._database = database
        self._clock = clock
        self._jobs = 0
        self._fresh_until = float("-inf")
        self._counting = asyncio.Lock()

    async def look(self) -> None:
        if self._is_fresh():
            return
        async with self._counting:  # the others wait for the first
            if self._is_fresh():
                return
            began = self._clock()
            self._jobs = await self._database.call(count_available_async, self._queue, limit=self._limit)
            ended = self._clock()
            self._fresh_until = ended + max(FRESH_SECONDS, PAUSE_FACTOR * (ended - began))

    def _is_fresh(self) -> bool:
        return self._clock() < self._fresh_until

    def require_capacity(self) -> None:
        if self._jobs >= self._limit:
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"The queue {self._queue!r} is full: {self._limit} jobs are available; retry later.",
                error_info("QUEUE_FULL", {"queue": self._queue, "limit": str(self._limit)}),
                retry_info(RETRY_SECONDS),
            )

    def take(self) -> None:
        self._jobs += 1
