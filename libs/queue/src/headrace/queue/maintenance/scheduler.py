"""Brings jobs into line when their time has come: scheduled ones, retries, and the ticks of periodic jobs.

Every worker runs one, and there is no leader: row locks make each job come into line once, and each tick one job.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Result, run_async
from headrace.queue.kinds.kind import Kinds
from headrace.queue.periodic.definition import Periodic
from headrace.queue.periodic.ticker import Ticker

INTERVAL = timedelta(milliseconds=500)
INTERVAL_MS = INTERVAL / timedelta(milliseconds=1)
BATCH = 1000


class Scheduler:
    """The worker's clock.

    Args:
        link: Its connection.
        kinds: Periodic jobs of other kinds are left to other workers.
        periodic: What this worker declares.
        schema: The installation's schema.

    Raises:
        EnqueueError: A declared payload is of an unknown kind, or breaks its kind's rules.
    """

    def __init__(self, link: ReconnectingConnection, kinds: Kinds, periodic: Sequence[Periodic], schema: str) -> None:
        self._link = link
        self._ticker = Ticker(kinds, periodic, schema)
        self._promote = statement("promote", schema)
        self._next_due = statement("next_due", schema)
        self._declared = False

    async def step(self) -> timedelta:
        """Does what is due, and answers how long nothing more is. Raises DatabaseUnavailableError."""
        if not self._declared:
            await self._run(self._ticker.declare())
            self._declared = True
        promoted = await self._link.execute(self._promote, {"limit": BATCH})
        if sum(row["jobs"] for row in promoted) == BATCH:
            return timedelta(0)
        [until] = await self._link.execute(self._next_due, self._ticker.mine())
        if until["tick"] is not None and until["tick"] <= 0 and await self._run(self._ticker.tick()):
            return timedelta(0)
        soonest = min((each for each in until.values() if each is not None), default=None)
        if soonest is None:
            return INTERVAL
        # What is due and was not promoted is locked by somebody, who is left in peace meanwhile.
        return timedelta(milliseconds=soonest) if 0 < soonest < INTERVAL_MS else INTERVAL

    async def _run(self, plan: Plan[Result]) -> Result:
        """Runs a plan as a transaction of its own."""
        async with self._link.use() as connection:
            return await run_async(connection, plan)
