"""Makes jobs available when they are due: scheduled jobs, retries, and the ticks of periodic jobs.

Every worker runs a scheduler, and there is no leader. Row locks ensure that each job is promoted once, and that each
tick enqueues one job.
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
    """Promotes due jobs, and enqueues the jobs of due ticks.

    Args:
        connection: The connection for maintenance.
        kinds: Periodic jobs of other kinds are left to other workers.
        periodic: The periodic jobs that this worker declares.
        schema: The installation's schema.

    Raises:
        EnqueueError: A declared payload is not of one of the kinds, or breaks its kind's rules.
    """

    def __init__(
        self, connection: ReconnectingConnection, kinds: Kinds, periodic: Sequence[Periodic], schema: str
    ) -> None:
        self._connection = connection
        self._ticker = Ticker(kinds, periodic, schema)
        self._promote = statement("promote", schema)
        self._next_due = statement("next_due", schema)
        self._declared = False

    async def step(self) -> timedelta:
        """Does what is due. Returns for how long nothing more is. Raises DatabaseUnavailableError."""
        if not self._declared:
            await self._run(self._ticker.declare())
            self._declared = True
        promoted = await self._connection.execute(self._promote, {"limit": BATCH})
        if sum(row["jobs"] for row in promoted) == BATCH:
            return timedelta(0)
        [until] = await self._connection.execute(self._next_due, self._ticker.mine())
        if until["tick"] is not None and until["tick"] <= 0 and await self._run(self._ticker.tick()):
            return timedelta(0)
        soonest = min((each for each in until.values() if each is not None), default=None)
        if soonest is None:
            return INTERVAL
        # A due job that was not promoted is locked by another transaction: it is due at the next step.
        return timedelta(milliseconds=soonest) if 0 < soonest < INTERVAL_MS else INTERVAL

    async def _run(self, plan: Plan[Result]) -> Result:
        """Runs a plan in its own transaction."""
        async with self._connection.use() as connection:
            return await run_async(connection, plan)
