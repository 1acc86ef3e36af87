"""Takes jobs out of the hands of workers that are gone.

A rescuer acts only on silence that it has itself seen, for the whole lease time, over a connection that answered
promptly throughout. So an outage of Postgres, or a stop of the rescuer, rescues nothing: both make the observation
begin anew. Every worker runs one; the first to declare a death wins.
"""

from __future__ import annotations

import logging
import time
from datetime import timedelta
from typing import Any

from headrace.queue import tracing
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.events.event import EventType
from headrace.queue.events.publisher import EventPublisher
from headrace.queue.job import TraceParent

logger = logging.getLogger(__name__)
INTERVAL = timedelta(seconds=1)
# Heartbeat come every second; with the watch's own second a killed worker's jobs run again within 10 s.
LEASE = 6.0
# A longer pause between two looks means that the rescuer, or Postgres, was away.
LONGEST_GAP = 3.0
# What a worker claimed in the very moment of its death can be committed late.
LATE_SWEEP_EVERY = 15.0
TOLD_OF_THE_DEAD = {
    "available": EventType.RESCUED,
    "quarantined": EventType.QUARANTINED,
    "cancelled": EventType.CANCELLED,
}


class Rescuer:
    """The worker's watch over the other workers."""

    def __init__(
        self, link: ReconnectingConnection, schema: str, publisher: EventPublisher, *, max_deaths: int
    ) -> None:
        self._publisher = publisher
        self._link = link
        self._watch = statement("watch_workers", schema)
        self._declare = statement("declare_dead", schema)
        self._rescue = statement("rescue", schema)
        self._max_deaths = max_deaths
        self._seen: dict[int, tuple[int, float]] = {}
        self._looked_at = 0.0
        self._late_sweep_at = 0.0

    async def step(self) -> None:
        """Looks once, and rescues what there is to rescue. Raises DatabaseUnavailableError."""
        asked_at = time.monotonic()
        try:
            rows = await self._link.execute(self._watch)
        except DatabaseUnavailableError:
            self._seen.clear()
            raise
        answered_at = time.monotonic()
        if answered_at - self._looked_at > LONGEST_GAP:
            self._seen.clear()
        self._looked_at = answered_at
        # A beat is seen from the answer on, and stands still until the question: what lies between is not silence.
        known = self._seen
        self._seen = {row["id"]: (row["beat"], answered_at) for row in rows}
        self._seen.update((id_, seen) for id_, seen in known.items() if self._seen.get(id_, (None,))[0] == seen[0])
        silent = [(id_, beat) for id_, (beat, since) in self._seen.items() if asked_at - since >= LEASE]
        for worker_id, beat in silent:
            if declared := await self._link.execute(self._declare, {"worker_id": worker_id, "beat": beat}):
                logger.warning("worker %s fell silent and is declared dead", declared[0]["name"])
        if silent or answered_at >= self._late_sweep_at:
            self._late_sweep_at = answered_at + LATE_SWEEP_EVERY
            await self.rescue()

    async def rescue(self) -> None:
        """Takes back what workers declared dead still hold. Raises DatabaseUnavailableError."""
        for row in await self._link.execute(self._rescue, {"max_deaths": self._max_deaths}):
            level = logging.ERROR if row["state"] == "quarantined" else logging.WARNING
            logger.log(
                level, "job %d (%s) is %s: worker %s died with it", row["id"], row["kind"], row["state"], row["worker"]
            )
            what = TOLD_OF_THE_DEAD[row["state"]]
            self._publisher.publish([(what, row["id"], row["kind"], row["queue"], row["attempt"])])
            tracing.lost_span(_attempt(row), row["ran_ms"], row["worker"])


def _attempt(row: dict[str, Any]) -> tracing.Attempt:
    trace = row["traceparent"]
    return tracing.Attempt(
        job_id=row["id"],
        lease=row["lease"],
        kind=row["kind"],
        queue=row["queue"],
        attempt=row["attempt"],
        trace=TraceParent(trace, row["tracestate"] or "", row["baggage"] or "") if trace else None,
    )
