"""Tells what happens to this worker's jobs: its subscribers at once, other processes in batches, while any listens."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.events.event import Event, EventType, encode_events
from headrace.queue.job import JobState

logger = logging.getLogger(__name__)
INTERVAL = timedelta(milliseconds=100)
# Postgres refuses notifications of 8,000 bytes.
LONGEST_TEXT = 7_500
# What more happens in an interval is told as a number only.
MOST = 5_000

TOLD = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.RETRYABLE: EventType.FAILED,
    JobState.DISCARDED: EventType.DISCARDED,
    JobState.CANCELLED: EventType.CANCELLED,
    JobState.QUARANTINED: EventType.QUARANTINED,
    JobState.SCHEDULED: EventType.SNOOZED,
    JobState.AVAILABLE: EventType.HANDED_BACK,
}

JobEvent = tuple[EventType, int, str, str, int]
"""What, to which job (id, kind, queue), in which attempt."""


class EventPublisher:
    """The worker's voice.

    Args:
        link: Its connection.
        worker: The worker's name.
        schema: The installation's schema.
    """

    def __init__(self, link: ReconnectingConnection, worker: str, schema: str) -> None:
        self._link = link
        self._worker = worker
        self._is_heard = statement("is_heard", schema)
        self._publish = statement("publish_events", schema)
        self._subscribers: list[Callable[[Event], None]] = []
        self._events: list[JobEvent] = []
        self._missed = 0

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls back with every event, on the event loop; answers a function that ends it."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def publish(self, happened: Sequence[JobEvent]) -> None:
        """These things have happened, and are committed."""
        kept = happened[: MOST - len(self._events)]
        self._events += kept
        self._missed += len(happened) - len(kept)
        for each in happened if self._subscribers else ():
            for callback in tuple(self._subscribers):
                try:
                    callback(Event(*each, self._worker))
                except Exception:  # a bad subscriber must not stop the work
                    logger.exception("a subscriber raised at the event %r of job %d", str(each[0]), each[1])

    async def step(self) -> None:
        """Publishes what has gathered, if anybody listens. Raises DatabaseUnavailableError."""
        events, self._events = self._events, []
        missed, self._missed = self._missed, 0
        if not events and not missed:
            return
        try:
            [row] = await self._link.execute(self._is_heard)
            if row["heard"]:
                told = [Event(*event, self._worker) for event in events]
                texts = encode_events(self._worker, told, missed, longest=LONGEST_TEXT)
                await self._link.execute(self._publish, {"texts": texts})
        except DatabaseUnavailableError:
            self._missed += len(events) + missed
            raise
