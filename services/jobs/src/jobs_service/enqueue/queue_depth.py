"""Limits of how many jobs may stand in line in a queue; above them the service takes no more for it.

The line is counted when a job for it comes in, and the count is used for a second, plus what this server has taken
since; so several servers may together overstep a limit by what they take in a second. Counting never takes more than
about a twentieth of a connection's time: long lines are counted less often.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping

import grpc

from headrace.chassis.rpc.errors import RpcError, error_info, retry_info
from headrace.queue import count_available_async
from jobs_service.database import Database

FRESH_SECONDS = 1.0
# How much longer than the counting itself a count is used.
POLL_INTERVAL = 20
RETRY_SECONDS = 5.0


class QueueDepthLimits:
    """The lines that are limited."""

    def __init__(
        self, limits: Mapping[str, int], database: Database, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`limits` are the most jobs that may stand in line, by queue; `clock` answers seconds that only grow."""
        self.limits = limits
        self._lines = {queue: _QueueDepth(queue, limit, database, clock) for queue, limit in limits.items()}

    async def look(self, queues: Collection[str]) -> None:
        """Counts the lines that were not counted lately. To be awaited before `take`.

        Raises:
            DatabaseUnavailableError: They can't be counted.
        """
        for queue in self._lines.keys() & queues:
            await self._lines[queue].look()

    def take(self, queue: str) -> None:
        """Takes a place in line for a job that is about to be accepted.

        Raises:
            RpcError: RESOURCE_EXHAUSTED (reason QUEUE_FULL), with RetryInfo.
        """
        if line := self._lines.get(queue):
            line.require_capacity()
            line.take()

    def require_capacity(self, queue: str) -> None:
        """The same, but no place is taken."""
        if line := self._lines.get(queue):
            line.require_capacity()


class _QueueDepth:
    """The line of one queue, as it was counted last."""

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
        async with self._counting:  # the others wait for the one that counts
            if self._is_fresh():
                return
            began = self._clock()
            self._jobs = await self._database.call(count_available_async, self._queue, limit=self._limit)
            ended = self._clock()
            self._fresh_until = ended + max(FRESH_SECONDS, POLL_INTERVAL * (ended - began))

    def _is_fresh(self) -> bool:
        return self._clock() < self._fresh_until

    def require_capacity(self) -> None:
        if self._jobs >= self._limit:
            raise RpcError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"The queue {self._queue!r} is full: {self._limit} jobs stand in line; try again later.",
                error_info("QUEUE_FULL", {"queue": self._queue, "limit": str(self._limit)}),
                retry_info(RETRY_SECONDS),
            )

    def take(self) -> None:
        self._jobs += 1
