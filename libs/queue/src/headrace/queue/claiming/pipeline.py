"""Claims jobs from one queue at a time, and hands them to the executor.

While the jobs of one claim start, the next claim is already on its way, so that neither Python nor Postgres waits for
the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from psycopg import AsyncCursor
from psycopg.rows import tuple_row

from headrace.queue.claiming.claimed_rows import running_jobs
from headrace.queue.claiming.cursor import Cursor, Mark, Sweep
from headrace.queue.claiming.slots import Slots
from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.running_job import RunningJob, Stop

logger = logging.getLogger(__name__)
# How many jobs are started in one turn of the event loop.
BEGIN_AT_ONCE = 500
SWEEP_BUDGET = 0.005


class WorkerIdentity:
    """The worker's row in the workers table. Changes when the worker registers again after it was declared dead."""

    def __init__(self) -> None:
        self.worker_id = 0


class Claimed(NamedTuple):
    """The result of a claim."""

    jobs: int
    more: bool
    """Whether another claim may find more jobs at once."""
    at_limit: bool
    """Whether the queue's own limit of running jobs is reached."""


class ClaimPipeline:
    """Sends claims one after the other, and starts the jobs of each while the next one is on its way.

    Args:
        connection: The connection for claims.
        identity: Identifies the worker in the database.
        handlers: Their kinds and versions are claimed, from their queues.
        executor: Runs the claimed jobs.
        tracker: Keeps account of the claims.
        slots: How many more jobs of a queue can be claimed.
        schema: The installation's schema.
    """

    def __init__(
        self,
        connection: ReconnectingConnection,
        identity: WorkerIdentity,
        handlers: Handlers,
        executor: Executor,
        tracker: ClaimTracker,
        slots: Slots,
        schema: str,
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._handlers = handlers
        self._executor = executor
        self._tracker = tracker
        self._slots = slots
        self._claim_text = statement("claim", schema)
        self._kinds = list(handlers.versions)
        self._versions = list(handlers.versions.values())
        self._cursors = {queue: Cursor() for queue in handlers.queues}
        self._sweeps = {queue: Sweep(cursor) for queue, cursor in self._cursors.items()}
        self._generation = 0
        self._claiming = asyncio.Lock()
        self._beginning: asyncio.Task[None] | None = None
        self._early: dict[int, int] = {}
        """Cancelled jobs that are not running here, but may be among the jobs of claims below a number."""

    async def claim(self, queue: str, limit: int) -> Claimed | None:
        """Claims up to `limit` jobs from a queue.

        Returns:
            None if nothing may be claimed: the queue is paused, or this worker has been declared dead.

        Raises:
            DatabaseUnavailableError: Postgres is unavailable. Whether jobs were claimed is not known.
        """
        cursor = self._cursors[queue]
        mark, jobs = await self._send(queue, limit, cursor)
        if mark is None:
            return None
        more = cursor.advance(mark)
        at_limit = mark.full and mark.limit < limit
        return Claimed(jobs, more and not at_limit, at_limit)

    def queues_to_sweep(self) -> list[str]:
        """Returns the queues in which the cursor has passed anything."""
        return [queue for queue, sweep in self._sweeps.items() if sweep.has_ground]

    async def sweep(self, queue: str, limit: int) -> bool:
        """Claims up to `limit` jobs from the next span behind the cursor.

        Returns:
            Whether the sweep has reached its end.

        Raises:
            DatabaseUnavailableError: As for `claim`.
        """
        sweep = self._sweeps[queue]
        began = time.monotonic()
        mark, jobs = await self._send(queue, limit, sweep)
        if jobs:
            logger.info("the sweep of queue %s found %d jobs behind the cursor", queue, jobs)
        seconds = time.monotonic() - began
        return mark is None or mark.limit == 0 or sweep.advance(mark, seconds=seconds, budget=SWEEP_BUDGET)

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Stops jobs that are to be cancelled. A job that only a claim in progress will return is stopped on arrival.

        The heartbeat reports each cancellation once, perhaps before the claim's result was read. To be called on the
        event loop.
        """
        for job_id in job_ids:
            if not self._executor.cancel(job_id):
                self._early[job_id] = self._tracker.next
        self._forget_early()

    @asynccontextmanager
    async def claims_paused(self) -> AsyncIterator[None]:
        """Within the block no claim is in progress, and all jobs that were claimed before have started."""
        async with self._claiming:
            await self._begun()
            yield

    async def _send(self, queue: str, limit: int, place: Cursor | Sweep) -> tuple[Mark | None, int]:
        """Sends a claim and has its jobs started. Returns its mark, and how many jobs it claimed."""
        # One claim at a time: the next one starts where the mark of this one moves the cursor to.
        async with self._claiming:
            number = self._tracker.begin()
            try:
                # The first row is read here too: a claim without its mark counts as one whose result was lost.
                async with self._connection.use() as connection:
                    if self._connection.generation != self._generation:
                        self._rewind()
                    params = {
                        **place.params(),
                        "worker_id": self._identity.worker_id,
                        "claim_no": number,
                        "queue": queue,
                        "kinds": self._kinds,
                        "versions": self._versions,
                        "limit": limit,
                    }
                    result = connection.cursor(binary=True, row_factory=tuple_row)
                    await result.execute(self._claim_text, params, prepare=True)
                    [text, *_] = await anext(result)
            except BaseException:
                self._tracker.unclear(number)
                raise
            jobs = result.rowcount - 1  # the first row is the mark
            await self._begun()  # the rows of one claim at most wait to be decoded: memory is bounded
            mark = Mark.parse(json.loads(text))
            self._slots.expect(queue, jobs)
            # Decoding and starting the jobs is left to another task, and the connection is free for the next claim.
            # That is safe: `execute` has received the whole result, and `fetchall` only decodes it.
            self._beginning = asyncio.create_task(self._begin(queue, number, result))
            # If no claim follows at once, this one's jobs start now. Otherwise they start while the next one is on
            # its way.
            if not self._slots.room(queue) or mark is None or not mark.full:
                await self._begun()
            return mark, jobs

    async def _begin(self, queue: str, number: int, result: AsyncCursor[tuple[Any, ...]]) -> None:
        """Starts the jobs of a claim, a few at a time.

        The event loop runs other tasks in between. So the first outcomes are written, and the next claim's result is
        read, before the last of these jobs has started.
        """
        jobs = running_jobs(self._handlers, queue, number, await result.fetchall())
        self._executor.take(jobs)
        self._tracker.answered(number, len(jobs))
        self._slots.arrived(queue, len(jobs))
        if self._early:
            self._stop_cancelled(number, jobs)
        for first in range(0, len(jobs), BEGIN_AT_ONCE):
            if first:
                await asyncio.sleep(0)
            self._executor.begin(jobs[first : first + BEGIN_AT_ONCE])

    async def _begun(self) -> None:
        """Returns when all jobs of the latest claim have started."""
        if self._beginning is not None:
            await self._beginning
            self._beginning = None

    def _stop_cancelled(self, number: int, jobs: Sequence[RunningJob]) -> None:
        for job in jobs:
            if number < self._early.get(job.id, 0):
                job._stop(Stop.CANCELLED)
        self._forget_early()

    def _forget_early(self) -> None:
        """Forgets cancellations whose claims have all been answered."""
        answered = self._tracker.answered_below
        self._early = {job_id: below for job_id, below in self._early.items() if below > answered}

    def _rewind(self) -> None:
        """Starts at the first entry of each queue again: on a new connection, transaction ids may have been reused."""
        self._generation = self._connection.generation
        for queue in self._cursors:
            self._cursors[queue].rewind()
            self._sweeps[queue].rewind()
