"""Decides which queue is claimed from next.

All queues share the worker's slots. They take turns, so that none starves another. A queue is claimed from after a
notification, a recheck or the poll, and again as long as claims find jobs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta

from headrace.queue.claiming.pipeline import ClaimPipeline
from headrace.queue.claiming.recheck_timer import RecheckTimer
from headrace.queue.claiming.slots import Slots
from headrace.queue.completion.settled_jobs import Settled
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)
# The most jobs of one claim. Each claim costs a commit and a round trip.
BATCH = 4000


class QueueRotation:
    """The loop that claims jobs whenever a slot is free and a queue may have some.

    Args:
        pipeline: Sends the claims.
        slots: How many more jobs of a queue can be claimed.
        poll_interval: How often every queue is claimed from, whether notified or not.
        wake: Set whenever a slot is freed.
    """

    def __init__(self, pipeline: ClaimPipeline, slots: Slots, *, poll_interval: timedelta, wake: asyncio.Event) -> None:
        self._pipeline = pipeline
        self._slots = slots
        self._poll_seconds = poll_interval.total_seconds()
        self._poll_at = 0.0
        self._timer = RecheckTimer(slots.queues)
        self._turns = list(slots.queues)
        self._ready = set(slots.queues)
        """Queues that may have jobs to claim."""
        self._at_limit: set[str] = set()
        """Queues whose own limit was reached at the last claim."""
        self._sweeping: set[str] = set()
        self._wake = wake
        self._stopped = False

    def wake_queue(self, queue: str) -> None:
        """Notes that jobs of a queue have become available, or will soon; an empty name means any queue."""
        if not queue:
            self.wake_all()
        for sharing in self._timer.queues_sharing_slot(queue):
            self._ready.add(sharing)
            self._timer.woken(sharing)
            self._wake.set()

    def wake_all(self) -> None:
        """Notes that jobs of any queue may have become available."""
        self._ready.update(self._turns)
        self._wake.set()

    def jobs_settled(self, settled: Sequence[Settled]) -> None:
        """Notes that jobs no longer run: there may be room again in their queues' limits, and for outcomes."""
        if self._at_limit:
            self._ready.update(self._at_limit.intersection(job.queue for job, _ in settled))
        self._wake.set()

    def request_sweep(self) -> None:
        """Starts a sweep of every queue in which the cursor has passed anything."""
        self._sweeping.update(self._pipeline.queues_to_sweep())
        self._wake.set()

    async def stop(self) -> None:
        """Stops claiming. Returns when no claim is in progress."""
        self._stopped = True
        self._slots.close()
        self._wake.set()
        async with self._pipeline.claims_paused():
            pass

    async def run(self) -> None:
        """Claims until stopped or cancelled."""
        backoff = ReconnectBackoff()
        while not self._stopped:
            if time.monotonic() >= self._poll_at:
                self._poll_at = time.monotonic() + self._poll_seconds
                self._ready.update(self._turns)
            self._ready.update(self._timer.due())
            try:
                await self._round()
                backoff.reset()
            except DatabaseUnavailableError as error:
                await backoff.wait(logger, f"claiming pauses until Postgres is available: {error}")
                self._ready.update(self._turns)
                continue
            if any(self._slots.room(queue) for queue in self._ready | self._sweeping):
                continue
            with suppress(TimeoutError):
                next_look = min(self._poll_at, self._timer.next_look)
                await asyncio.wait_for(self._wake.wait(), max(0.0, next_look - time.monotonic()))
            self._wake.clear()

    async def _round(self) -> None:
        """Claims once from each ready queue. The queue that was first in this round will be last in the next."""
        self._turns.append(self._turns.pop(0))
        for queue in tuple(self._turns):
            if queue in self._ready and (room := self._slots.room(queue)):
                # Removed before the claim is sent: a wake-up that arrives during the claim adds it again.
                self._ready.discard(queue)
                await self._claim(queue, min(room, BATCH))
            if queue in self._sweeping and (room := self._slots.room(queue)):
                ended = await self._pipeline.sweep(queue, min(room, BATCH))
                if ended:
                    self._sweeping.discard(queue)

    async def _claim(self, queue: str, limit: int) -> None:
        claimed = await self._pipeline.claim(queue, limit)
        if claimed is None or not claimed.jobs:
            self._timer.found_nothing(queue)
        else:
            self._timer.woken(queue)
        if claimed is None:
            return
        if claimed.more:
            self._ready.add(queue)
        # A queue at its limit is claimed from again when one of its jobs here is settled, or at the next poll.
        if claimed.at_limit:
            self._at_limit.add(queue)
        else:
            self._at_limit.discard(queue)
