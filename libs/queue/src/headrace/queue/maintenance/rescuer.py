"""Rescues the jobs of dead workers.

A rescuer acts only on silence that it has observed itself, for the whole lease, over a connection that responded
promptly all the time. So an outage of Postgres, or a stop of the rescuer, rescues nothing: the observation starts again
after both. Every worker runs a rescuer. The first one to declare a worker dead rescues its jobs.
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
# Heartbeats come every second. Together with this loop's own second, the jobs of a killed worker run again within 10 s.
LEASE = 6.0
# A longer pause between two looks means that this process was stopped, or Postgres was unavailable.
LONGEST_GAP = 3.0
# A claim that a worker sent just before it died can be committed late.
LATE_SWEEP_EVERY = 15.0
_EVENT_TYPES = {
    "available": EventType.RESCUED,
    "quarantined": EventType.QUARANTINED,
    "cancelled": EventType.CANCELLED,
}


class Rescuer:
    """Watches the heartbeats of all workers, and rescues the jobs of those that are dead.

    Args:
        connection: The connection for maintenance.
        schema: The installation's schema.
        publisher: Publishes what happens to the rescued jobs.
        max_deaths: After how many worker deaths a job that was running is quarantined.
    """

    def __init__(
        self, connection: ReconnectingConnection, schema: str, publisher: EventPublisher, *, max_deaths: int
    ) -> None:
        self._publisher = publisher
        self._connection = connection
        self._watch = statement("watch_workers", schema)
        self._declare = statement("declare_dead", schema)
        self._rescue = statement("rescue", schema)
        self._max_deaths = max_deaths
        self._seen: dict[int, tuple[int, float]] = {}
        """Per worker: its latest heartbeat, and since when it has been the latest."""
        self._looked_at = 0.0
        self._late_sweep_at = 0.0

    async def step(self) -> None:
        """Reads the heartbeats once, and rescues what there is to rescue. Raises DatabaseUnavailableError."""
        asked_at = time.monotonic()
        try:
            rows = await self._connection.execute(self._watch)
        except DatabaseUnavailableError:
            self._seen.clear()
            raise
        answered_at = time.monotonic()
        if answered_at - self._looked_at > LONGEST_GAP:
            self._seen.clear()
        self._looked_at = answered_at
        # A heartbeat is new at the time of the response, and old at the time of the query: the time that a query takes
        # never counts as silence.
        known = self._seen
        self._seen = {row["id"]: (row["beat"], answered_at) for row in rows}
        self._seen.update((id_, seen) for id_, seen in known.items() if self._seen.get(id_, (None,))[0] == seen[0])
        silent = [(id_, beat) for id_, (beat, since) in self._seen.items() if asked_at - since >= LEASE]
        for worker_id, beat in silent:
            if declared := await self._connection.execute(self._declare, {"worker_id": worker_id, "beat": beat}):
                logger.warning("worker %s is declared dead: no heartbeat for %g s", declared[0]["name"], LEASE)
        if silent or answered_at >= self._late_sweep_at:
            self._late_sweep_at = answered_at + LATE_SWEEP_EVERY
            await self.rescue()

    async def rescue(self) -> None:
        """Rescues all jobs that dead workers still have. Raises DatabaseUnavailableError."""
        for row in await self._connection.execute(self._rescue, {"max_deaths": self._max_deaths}):
            level = logging.ERROR if row["state"] == "quarantined" else logging.WARNING
            text = "job %d (%s) is %s: worker %s died while it ran"
            logger.log(level, text, row["id"], row["kind"], row["state"], row["worker"])
            type_ = _EVENT_TYPES[row["state"]]
            self._publisher.publish([(type_, row["id"], row["kind"], row["queue"], row["attempt"])])
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
