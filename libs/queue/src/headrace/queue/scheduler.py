"""Brings jobs into line when their time has come: scheduled ones, retries, and the ticks of periodic jobs.

Every worker runs one; row locks make each job come into line once, and each tick one job.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from google.protobuf.message import Message

from headrace.queue import tracing
from headrace.queue.accept import Door, NewJob
from headrace.queue.connections import Link
from headrace.queue.errors import KindUnknown, Refused
from headrace.queue.kinds import Kinds
from headrace.queue.statements import statement

logger = logging.getLogger(__name__)
INTERVAL = timedelta(milliseconds=500)
INTERVAL_MS = INTERVAL / timedelta(milliseconds=1)
BATCH = 1000
CALLER = "periodic"


@dataclass(frozen=True)
class Periodic:
    """A job that comes back. Kept in the database: exactly one job per tick, with any number of replicas.

    Ticks that were missed, because no worker ran, are made up for by one. It ticks as long as a worker that declares it
    runs.

    Raises:
        ValueError: `every` is not above 0.
    """

    name: str
    every: timedelta
    payload: Message

    def __post_init__(self) -> None:
        """Refuses what makes no sense."""
        if self.every <= timedelta(0):
            raise ValueError(f"periodic job {self.name!r}: every must be above 0, and is {self.every}")


class Scheduler:
    """The worker's clock."""

    def __init__(self, link: Link, kinds: Kinds, periodic: Sequence[Periodic], schema: str) -> None:
        self._link = link
        self._kinds = kinds
        self._periodic = periodic
        for kind in (each.payload.DESCRIPTOR.full_name for each in periodic):
            if kind not in kinds:
                raise KindUnknown(kind, kinds.names)
        self._door = Door(kinds, schema=schema)
        self._promote = statement("promote", schema)
        self._next_due = statement("next_due", schema)
        self._declare = statement("declare_periodic", schema)
        self._tick = statement("tick_periodic", schema)
        self._declared = False

    async def step(self) -> timedelta:
        """Does what is due, and answers how long nothing more is. Raises DatabaseAway."""
        if not self._declared:
            await self._declare_periodic()
        while await self._tick_one():
            pass
        promoted = await self._link.execute(self._promote, {"limit": BATCH})
        if sum(row["jobs"] for row in promoted) == BATCH:
            return timedelta(0)
        [*due] = await self._link.execute(self._next_due)
        if not due:
            return INTERVAL
        [milliseconds] = due[0].values()
        # What is due and was not promoted is locked by somebody, who is left in peace meanwhile.
        return timedelta(milliseconds=milliseconds) if 0 < milliseconds < INTERVAL_MS else INTERVAL

    async def _declare_periodic(self) -> None:
        for periodic in self._periodic:
            params = {
                "name": periodic.name,
                "kind": periodic.payload.DESCRIPTOR.full_name,
                "payload": periodic.payload.SerializeToString(deterministic=True),
                "every": periodic.every,
            }
            await self._link.execute(self._declare, params)
        self._declared = True

    async def _tick_one(self) -> bool:
        if not self._periodic:
            return False
        async with self._link.use() as connection, connection.transaction():
            names = [periodic.name for periodic in self._periodic]
            cursor = await connection.execute(self._tick, {"names": names, "kinds": list(self._kinds.names)})
            row = await cursor.fetchone()
            if row is None:
                return False
            kind = self._kinds[row["kind"]]
            message = kind.message_class.FromString(row["payload"])
            with tracing.create_span(kind.name, kind.queue):
                [result] = await self._door.accept_async(connection, [NewJob(message, caller=CALLER)])
            if isinstance(result, Refused):
                logger.error("the periodic job %s was not accepted: %s", row["name"], result)
            return True
