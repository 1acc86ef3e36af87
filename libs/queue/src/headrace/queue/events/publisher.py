"""Publishes what happens to this worker's jobs: to subscribers at once, to listening processes in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from datetime import timedelta

from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.events.event import Event, EventType, encode_events

logger = logging.getLogger(__name__)
INTERVAL = timedelta(milliseconds=100)
# Postgres rejects notifications of 8,000 bytes.
LONGEST_TEXT = 7_500
# Of further events in an interval, only the number is published.
MOST = 5_000

JobEvent = tuple[EventType, int, str, str, int]
"""The type, the job's id, kind and queue, and the attempt."""


class EventPublisher:
    """Publishes the events of one worker.

    Args:
        connection: The connection for maintenance.
        worker: The worker's name.
        schema: The installation's schema.
    """

    def __init__(self, connection: ReconnectingConnection, worker: str, schema: str) -> None:
        self._connection = connection
        self._worker = worker
        self._is_heard = statement("is_heard", schema)
        self._publish = statement("publish_events", schema)
        self._subscribers: list[Callable[[Event], None]] = []
        self._events: list[JobEvent] = []
        self._missed = 0

    def subscribe(self, callback: Callable[[Event], None]) -> Callable[[], None]:
        """Calls a function with every event, on the event loop. Returns a function that ends the subscription."""
        self._subscribers.append(callback)
        return lambda: self._subscribers.remove(callback)

    def publish(self, events: Sequence[JobEvent]) -> None:
        """Takes events whose transactions are committed: subscribers get them now, listeners soon."""
        kept = events[: MOST - len(self._events)]
        self._events += kept
        self._missed += len(events) - len(kept)
        for each in events if self._subscribers else ():
            for callback in tuple(self._subscribers):
                try:
                    callback(Event(*each, self._worker))
                except Exception:  # a faulty subscriber must not stop the worker
                    logger.exception("a subscriber raised an exception for event %r of job %d", str(each[0]), each[1])

    async def step(self) -> None:
        """Publishes the events since the last step, if there is a listener. Raises DatabaseUnavailableError."""
        taken, self._events = self._events, []
        missed, self._missed = self._missed, 0
        if not taken and not missed:
            return
        try:
            [row] = await self._connection.execute(self._is_heard)
            if row["heard"]:
                events = [Event(*event, self._worker) for event in taken]
                texts = encode_events(self._worker, events, missed, longest=LONGEST_TEXT)
                await self._connection.execute(self._publish, {"texts": texts})
        except DatabaseUnavailableError:
            self._missed += len(taken) + missed
            raise
