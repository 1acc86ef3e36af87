"""Sees how the transactions end in which handlers have completed their own jobs.

Committed: the job is completed, and nothing is left to do. Rolled back: the attempt gets the outcome that it has
without it. Still open: it is looked at again until the handler's connection is done with it; the job counts as running
meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from headrace.queue.completion.completer import Completer, Settled
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.execution.attempt_result import AttemptResult
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import JobState

logger = logging.getLogger(__name__)
# An open transaction is looked at again after this long: the handler has returned, so it hardly ever is.
PAUSE = 0.1


class CommitWatcher:
    """The worker's look at its handlers' own transactions.

    Args:
        link: Its connection.
        completer: Takes the outcomes of what was rolled back.
        schema: The installation's schema.
        on_decided: Called with each job that was committed, or is no longer ours.
    """

    def __init__(
        self,
        link: ReconnectingConnection,
        completer: Completer,
        schema: str,
        on_settled: Callable[[Sequence[Settled]], None],
    ) -> None:
        self._link = link
        self._completer = completer
        self._ask = statement("check_commits", schema)
        self._on_settled = on_settled
        self._jobs: dict[tuple[int, int], tuple[RunningJob, AttemptResult]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def take(self, job: RunningJob, otherwise: AttemptResult) -> None:
        """Takes an attempt that has completed its job, with the outcome that it has if that was rolled back."""
        self._jobs[job.id, job.lease] = (job, otherwise)
        self._idle.clear()
        self._wake.set()

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether it is not known yet what became of that attempt."""
        return (job_id, lease) in self._jobs

    async def idle(self) -> None:
        """Waits until it is known of every attempt."""
        await self._idle.wait()

    async def run(self) -> None:
        """Looks until cancelled."""
        backoff = ReconnectBackoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                try:
                    await self._look()
                except DatabaseUnavailableError as away:
                    await backoff.wait(
                        logger, f"{len(self._jobs)} completions are unsure until Postgres is back: {away}"
                    )
                    continue
                backoff.reset()
                if self._jobs:
                    await asyncio.sleep(PAUSE)
            self._idle.set()

    async def _look(self) -> None:
        asked = tuple(self._jobs)
        ids, leases = zip(*asked, strict=True)
        rows = await self._link.execute(self._ask, {"ids": list(ids), "leases": list(leases)})
        found = {(row["id"], row["lease"]): row for row in rows}
        for attempt in asked:
            row = found.get(attempt)
            if row is not None and row["open"]:
                continue
            job, otherwise = self._jobs.pop(attempt)
            if row is None:  # the lease was lost: whatever becomes of the job is for others to tell
                self._on_settled([(job, None)])
            elif row["completed"]:
                self._on_settled([(job, JobState.COMPLETED)])
            else:
                logger.warning("job %d: what its handler completed was rolled back; it is %s", job.id, otherwise.state)
                self._completer.record(job, otherwise)
