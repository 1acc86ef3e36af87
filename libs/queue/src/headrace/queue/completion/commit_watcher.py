"""Finds out how the transactions ended in which handlers have completed their own jobs.

If the transaction was committed, the job is completed. If it was rolled back, the attempt gets the result that it has
without it. While the transaction is open, the watcher checks again, and the job counts as running.
"""

from __future__ import annotations

import asyncio
import logging

from headrace.queue.completion.completer import Completer
from headrace.queue.completion.settled_jobs import SettledJobs
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.execution.attempt_result import AttemptResult
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import JobState

logger = logging.getLogger(__name__)
# Between two checks of open transactions. The handler has returned, so there is hardly ever a second check.
PAUSE = 0.1


class CommitWatcher:
    """Watches the transactions in which handlers have completed their own jobs.

    Args:
        connection: The connection for outcomes.
        completer: Writes the results of attempts whose transactions were rolled back.
        schema: The installation's schema.
        settled_jobs: Told of each job whose transaction was committed, and of each that has a newer lease.
    """

    def __init__(
        self, connection: ReconnectingConnection, completer: Completer, schema: str, settled_jobs: SettledJobs
    ) -> None:
        self._connection = connection
        self._completer = completer
        self._check_commits = statement("check_commits", schema)
        self._settled_jobs = settled_jobs
        self._jobs: dict[tuple[int, int], tuple[RunningJob, AttemptResult]] = {}
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def take(self, job: RunningJob, otherwise: AttemptResult) -> None:
        """Takes an attempt that has completed its job, with its result in case the transaction was rolled back."""
        self._jobs[job.id, job.lease] = (job, otherwise)
        self._idle.clear()
        self._wake.set()

    def holds(self, job_id: int, lease: int) -> bool:
        """Returns whether the end of an attempt's transaction is not known yet."""
        return (job_id, lease) in self._jobs

    async def idle(self) -> None:
        """Waits until the end of every attempt's transaction is known."""
        await self._idle.wait()

    async def run(self) -> None:
        """Watches until cancelled."""
        backoff = ReconnectBackoff()
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._jobs:
                try:
                    await self._check()
                except DatabaseUnavailableError as error:
                    text = f"{len(self._jobs)} completions can't be confirmed until Postgres is available: {error}"
                    await backoff.wait(logger, text)
                    continue
                backoff.reset()
                if self._jobs:
                    await asyncio.sleep(PAUSE)
            self._idle.set()

    async def _check(self) -> None:
        asked = tuple(self._jobs)
        ids, leases = zip(*asked, strict=True)
        rows = await self._connection.execute(self._check_commits, {"ids": list(ids), "leases": list(leases)})
        found = {(row["id"], row["lease"]): row for row in rows}
        for attempt in asked:
            row = found.get(attempt)
            if row is not None and row["open"]:
                continue
            job, otherwise = self._jobs.pop(attempt)
            if row is None:  # the job has a newer lease: another attempt decides its state
                self._settled_jobs.announce([(job, None)])
            elif row["completed"]:
                self._settled_jobs.announce([(job, JobState.COMPLETED)])
            else:
                text = "job %d: the transaction in which its handler completed it was rolled back; the job is %s"
                logger.warning(text, job.id, otherwise.state)
                self._completer.record(job, otherwise)
