"""Claims jobs for free slots, queue by queue in turn, woken by notifications or its poll.

All queues share the worker's slots. They take turns, so that none starves another, and a setting can limit how many
slots a queue takes. A wake-up is remembered until the queue was found empty, so none is lost.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any

from psycopg import AsyncCursor
from psycopg.rows import tuple_row

from headrace.queue.claiming.claimed_rows import running_jobs
from headrace.queue.claiming.cursor import Cursor, Mark, Sweep
from headrace.queue.claiming.recheck_timer import RecheckTimer
from headrace.queue.claiming.tracker import ClaimTracker
from headrace.queue.completion.completer import Completer
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.running_job import Stop

logger = logging.getLogger(__name__)
# Each claim is a commit of its own, and an answer to wait for; no claim asks for more than there are free slots.
BATCH = 4000
# So many of them are begun in one turn of the event loop.
BEGIN_AT_ONCE = 500
# Outcomes that wait to be written beyond this many stop further claims: memory is bounded, too.
MOST_PENDING = 20_000
SWEEP_BUDGET = 0.005


class WorkerIdentity:
    """Who this process is in the workers table; changes when it was declared dead and has come back."""

    def __init__(self) -> None:
        self.worker_id = 0


class Producer:
    """The worker's fetcher of jobs."""

    def __init__(
        self,
        link: ReconnectingConnection,
        identity: WorkerIdentity,
        handlers: Handlers,
        executor: Executor,
        completer: Completer,
        tracker: ClaimTracker,
        *,
        slots: int,
        queue_slots: Mapping[str, int],
        poll_interval: timedelta,
        schema: str,
        wake: asyncio.Event,
    ) -> None:
        self._link = link
        self._identity = identity
        self._handlers = handlers
        self._executor = executor
        self._completer = completer
        self._tracker = tracker
        self._slots = slots
        self._queue_slots = queue_slots
        self._poll_seconds = poll_interval.total_seconds()
        self._claim_text = statement("claim", schema)
        self._kinds = list(handlers.versions)
        self._versions = list(handlers.versions.values())
        self._cursors = {queue: Cursor() for queue in handlers.queues}
        self._sweeps = {queue: Sweep(cursor) for queue, cursor in self._cursors.items()}
        self._sweeping: set[str] = set()
        self._turn: list[str] = list(handlers.queues)
        self._ready: set[str] = set(handlers.queues)
        self._at_limit: set[str] = set()
        self._timer = RecheckTimer(handlers.queues)
        self._wake = wake
        self._poll_at = 0.0
        self._generation = 0
        self._stopped = False
        self._claimed: Counter[str] = Counter()
        self._arrived: Counter[str] = Counter()
        self._beginning: asyncio.Task[None] | None = None
        self._early: dict[int, int] = {}
        """Jobs to be cancelled that are not here, and may come with claims below a number."""
        self._claiming = asyncio.Lock()
        self.unclear: dict[int, float] = {}
        """Claims whose answer got lost, with the time of the loss; an audit has to look after them."""

    @property
    def queues(self) -> Sequence[str]:
        """The queues that are worked off, sorted."""
        return tuple(self._cursors)

    @property
    def running(self) -> int:
        """How many jobs are in flight."""
        return self._executor.running

    def running_in(self, queue: str) -> int:
        """How many jobs of the queue are in flight."""
        return self._executor.running_in(queue)

    def ended(self, queue: str) -> int:
        """How many attempts of the queue have ended. In the moment of a claim it may be off by the claim's jobs."""
        return self._claimed[queue] - self._executor.running_in(queue)

    def room(self, queue: str) -> int:
        """How many more jobs of the queue can be taken. May be asked from another thread."""
        return 0 if self._stopped else self._room(queue)

    def cancel(self, job_ids: Iterable[int]) -> None:
        """Stops jobs that somebody wants cancelled. One that a claim on its way brings is stopped when it comes.

        To be called on the event loop. It is told once of each job, and perhaps before the claim's answer was read.
        """
        for job_id in job_ids:
            if not self._executor.cancel(job_id):
                self._early[job_id] = self._tracker.next
        self._forget_early()

    def _forget_early(self) -> None:
        """None of the claims that were on their way has brought them, or they were stopped as they came."""
        answered = self._tracker.answered_below
        self._early = {job_id: claims for job_id, claims in self._early.items() if claims > answered}

    def wake_queue(self, queue: str) -> None:
        """Something has come into a queue's line, or will soon; an empty name means any."""
        if not queue:
            self.wake_all()
        for sharing in self._timer.queues_sharing_slot(queue):
            self._ready.add(sharing)
            self._timer.woken(sharing)
            self._wake.set()

    def wake_all(self) -> None:
        """Something may have come into any line."""
        self._ready.update(self._cursors)
        self._wake.set()

    def slot_freed(self) -> None:
        """A slot has become free."""
        self._wake.set()

    def job_settled(self, queue: str) -> None:
        """A job of the queue does not run any more: one of its limit's places may be free."""
        if queue in self._at_limit:
            self._ready.add(queue)
            self._wake.set()

    def request_sweep(self) -> None:
        """Starts a safety sweep of every line in which the cursor has left something behind."""
        self._sweeping.update(queue for queue, sweep in self._sweeps.items() if sweep.has_ground)
        self._wake.set()

    async def stop(self) -> None:
        """Claims nothing any more; returns when no claim is on its way."""
        self._stopped = True
        self._wake.set()
        async with self.claims_paused():
            pass

    @asynccontextmanager
    async def claims_paused(self) -> AsyncIterator[None]:
        """Within the block no claim is on its way, and all that was claimed before has begun."""
        async with self._claiming:
            await self._begun()
            yield

    async def run(self) -> None:
        """Claims until stopped or cancelled."""
        backoff = ReconnectBackoff()
        while not self._stopped:
            if time.monotonic() >= self._poll_at:
                self._poll_at = time.monotonic() + self._poll_seconds
                self._ready.update(self._cursors)
            self._ready.update(self._timer.due())
            try:
                await self._round()
                backoff.reset()
            except DatabaseUnavailableError as away:
                await backoff.wait(logger, f"claiming pauses until Postgres is back: {away}")
                self._ready.update(self._cursors)
                continue
            # No pause: the jobs just claimed begin while the next claim is on its way, so that neither side waits.
            if any(self._room(queue) for queue in self._ready | self._sweeping):
                continue
            with suppress(TimeoutError):
                next_look = min(self._poll_at, self._timer.next_look)
                await asyncio.wait_for(self._wake.wait(), max(0.0, next_look - time.monotonic()))
            self._wake.clear()

    async def _round(self) -> None:
        """Lets each ready queue claim once, the one that came first last time being the last now."""
        self._turn.append(self._turn.pop(0))
        for queue in tuple(self._turn):
            if self._stopped:
                return
            if queue in self._ready and (room := self._room(queue)):
                self._ready.discard(queue)
                # A full batch means there may be more; so does a wake-up that arrives meanwhile.
                if await self._claim(queue, min(room, BATCH)):
                    self._ready.add(queue)
            if queue in self._sweeping and (room := self._room(queue)):
                await self._sweep(queue, min(room, BATCH))

    def _free(self) -> int:
        if self._completer.pending > MOST_PENDING:
            return 0
        return self._slots - self._executor.running - self._arrived.total()

    def _room(self, queue: str) -> int:
        taken = self._executor.running_in(queue) + self._arrived[queue]
        return max(0, min(self._free(), self._queue_slots.get(queue, self._slots) - taken))

    async def _claim(self, queue: str, limit: int) -> bool:
        """Claims up to `limit` jobs; answers whether there may be more to claim at once."""
        cursor = self._cursors[queue]
        mark, jobs = await self._fetch(queue, limit, cursor)
        if jobs:
            self._timer.woken(queue)
        else:
            self._timer.found_nothing(queue)
        if mark is None:
            return False
        more = cursor.advance(mark)
        if (
            mark.full and mark.limit < limit
        ):  # the queue's own limit is reached: the next to end makes room, or the poll
            self._at_limit.add(queue)
            return False
        self._at_limit.discard(queue)
        return more

    async def _sweep(self, queue: str, limit: int) -> None:
        sweep = self._sweeps[queue]
        begun = time.monotonic()
        mark, jobs = await self._fetch(queue, limit, sweep)
        if jobs:
            logger.info("the sweep of queue %s found %d jobs behind the cursor", queue, jobs)
        took = time.monotonic() - begun
        if mark is None or mark.limit == 0 or sweep.advance(mark, seconds=took, budget=SWEEP_BUDGET):
            self._sweeping.discard(queue)

    async def _fetch(self, queue: str, limit: int, place: Cursor | Sweep) -> tuple[Mark | None, int]:
        """One claim: sends it, starts what it brought, answers its mark and how many jobs."""
        async with self._claiming:
            number = self._tracker.begin()
            try:
                async with self._link.use() as connection:
                    if self._link.generation != self._generation:
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
                    answer = connection.cursor(binary=True, row_factory=tuple_row)
                    await answer.execute(self._claim_text, params, prepare=True)
                    [text, *_] = await anext(answer)
            except BaseException:
                self._tracker.unclear(number)
                self.unclear[number] = time.monotonic()
                raise
            jobs = answer.rowcount - 1
            await self._begun()
            mark = Mark.parse(json.loads(text))
            self._arrived[queue] += jobs
            self._beginning = asyncio.create_task(self._begin(queue, number, answer))
            # Where another claim follows at once, reading these rows waits until it is on its way: Postgres looks for
            # the next jobs meanwhile.
            if not self._room(queue) or mark is None or not mark.full:
                await self._begun()
            return mark, jobs

    async def _begin(self, queue: str, number: int, answer: AsyncCursor[tuple[Any, ...]]) -> None:
        """Takes the jobs that a claim has brought, and lets them begin a few at a time.

        The event loop has its turns in between: the first outcomes are on their way to Postgres, and the next claim's
        answer is seen, before the last of these jobs has begun.
        """
        jobs = running_jobs(self._handlers, queue, number, await answer.fetchall())
        self._executor.take(jobs)
        self._tracker.answered(number, len(jobs))
        self._arrived[queue] -= len(jobs)
        self._claimed[queue] += len(jobs)
        if self._early:
            for job in jobs:
                if number < self._early.get(job.id, 0):
                    job.stop(Stop.CANCELLED)
            self._forget_early()
        for first in range(0, len(jobs), BEGIN_AT_ONCE):
            if first:
                await asyncio.sleep(0)
            self._executor.begin(jobs[first : first + BEGIN_AT_ONCE])

    async def _begun(self) -> None:
        """Returns when all that was claimed has begun."""
        if self._beginning is not None:
            await self._beginning
            self._beginning = None

    def _rewind(self) -> None:
        self._generation = self._link.generation
        for queue in self._cursors:
            self._cursors[queue].rewind()
            self._sweeps[queue].rewind()
