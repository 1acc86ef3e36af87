"""Brings jobs into line when their time has come: scheduled ones, retries, and the ticks of periodic jobs.

Every worker runs one, and there is no leader: row locks make each job come into line once, and each tick one job.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.queue.accept import Door
from headrace.queue.connections import Connection, Link
from headrace.queue.errors import Refused
from headrace.queue.kinds import Kinds
from headrace.queue.new_job import NewJob
from headrace.queue.periodic import Missed, Periodic, Ticks, decide, fingerprint, schedule
from headrace.queue.statements import fill, statement

logger = logging.getLogger(__name__)
INTERVAL = timedelta(milliseconds=500)
SHORTEST_PAUSE = timedelta(milliseconds=5)
BATCH = 1000
CALLER = "periodic"


class Scheduler:
    """The worker's clock.

    Args:
        link: Its connection.
        kinds: Periodic jobs of other kinds are left to other workers.
        periodic: What this worker declares.
        schema: The installation's schema.

    Raises:
        Refused: A declared payload is of an unknown kind, or breaks its kind's rules.
    """

    def __init__(self, link: Link, kinds: Kinds, periodic: Sequence[Periodic], schema: str) -> None:
        self._link = link
        self._kinds = kinds
        self._periodic = {each.name: each for each in periodic}
        self._rows = {each.name: each.row(kinds) for each in periodic}
        self._door = Door(kinds, schema=schema)
        self._clock = fill("select {schema}.clock() as now", schema)
        self._promote = statement("promote", schema)
        self._next_due = statement("next_due", schema)
        self._declare = statement("declare_periodic", schema)
        self._take = statement("take_periodic", schema)
        self._move = statement("move_periodic", schema)
        self._declared = False
        # Definitions that make no sense here, such as a time zone that this machine doesn't know: left to others.
        self._unreadable: set[str] = set()

    async def step(self) -> timedelta:
        """Does what is due, and answers how long nothing more is. Raises DatabaseAway."""
        if not self._declared:
            await self._declare_periodic()
        promoted = await self._link.execute(self._promote, {"limit": BATCH})
        if sum(row["jobs"] for row in promoted) == BATCH:
            return timedelta(0)
        [until] = await self._link.execute(self._next_due, self._mine())
        if until["tick"] is not None and until["tick"] <= 0 and await self._tick():
            return timedelta(0)
        soonest = min((each for each in until.values() if each is not None), default=None)
        if soonest is None:
            return INTERVAL
        return max(SHORTEST_PAUSE, min(INTERVAL, timedelta(milliseconds=soonest)))

    def _mine(self) -> dict[str, Any]:
        """Which periodic jobs this worker ticks."""
        return {
            "names": list(self._periodic),
            "kinds": list(self._kinds.names),
            "excluded": list(self._unreadable),
        }

    async def _declare_periodic(self) -> None:
        if self._periodic:
            [row] = await self._link.execute(self._clock)
        for name, periodic in self._periodic.items():
            params = {
                **self._rows[name],
                "declared": fingerprint(self._rows[name]),
                "first_at": periodic.first_tick(row["now"]),
                "changed_at": periodic.next_tick(row["now"]),
            }
            await self._link.execute(self._declare, params)
        self._declared = True

    async def _tick(self) -> bool:
        """Makes the jobs of one periodic job that is due; answers whether there was one to be had."""
        async with self._link.use() as connection, connection.transaction():
            row = await (await connection.execute(self._take, self._mine())).fetchone()
            if row is None:
                return False
            try:
                ticks = _decide(row)
            except ValueError as error:
                logger.error("the periodic job %s is left to other workers: %s", row["name"], error)
                self._unreadable.add(row["name"])
                return True
            if ticks.due:
                await self._enqueue(connection, row, ticks.due)
            moved = {"name": row["name"], "next_at": ticks.next_at, "last_at": ticks.last_at}
            await connection.execute(self._move, moved)
            return True

    async def _enqueue(self, connection: Connection, row: dict[str, Any], due: Sequence[datetime]) -> None:
        try:
            payload = self._kinds[row["kind"]].codec.decode(row["payload"])
            jobs = [NewJob(payload, caller=CALLER, metadata=_metadata(row["name"], tick)) for tick in due]
            results = await self._door.accept_async(connection, jobs)
            refused = next((result for result in results if isinstance(result, Refused)), None)
        except Refused as unreadable:
            refused = unreadable
        if refused is not None:
            logger.error("the periodic job %s made no job for its tick: %s", row["name"], refused)


def _metadata(name: str, tick: datetime) -> dict[str, str]:
    return {"periodic": name, "scheduled_at": tick.astimezone(UTC).isoformat()}


def _decide(row: dict[str, Any]) -> Ticks:
    """What is due of a row of take_periodic.sql. Raises ValueError."""
    begin, now, last = row["next_at"], row["now"], row["last_at"]
    found = schedule(row["every"], row["cron"], row["time_zone"], origin=begin or last or now)
    if begin is None:
        begin = found.after(now)
    elif last is not None and begin <= last:  # the clock was set back: nothing ticks twice
        begin = found.after(last)
    return decide(found, begin, now, Missed(row["missed"]), row["missed_window"])
