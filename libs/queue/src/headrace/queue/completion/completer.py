"""Writes outcomes in batches. Each outcome counts only under the lease that its attempt ran under.

While one batch is being written, the next one fills, so batches are as large as the load makes them and a single
outcome is written at once. While Postgres is unavailable, outcomes are kept and sent again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

from headrace.queue.completion.settled_jobs import SettledJobs
from headrace.queue.db.array_literals import numbers
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError
from headrace.queue.execution.attempt_result import COMPLETED, AttemptResult
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import JobState

logger = logging.getLogger(__name__)
BATCH = 4000


class Completer:
    """Writes the worker's outcomes.

    Args:
        connection: The connection for outcomes.
        schema: The installation's schema.
        settled_jobs: Told of each batch that was written.
    """

    def __init__(self, connection: ReconnectingConnection, schema: str, settled_jobs: SettledJobs) -> None:
        self._connection = connection
        self._complete = statement("complete", schema)
        self._settle = statement("settle", schema)
        self._settled_jobs = settled_jobs
        self._gathering: list[tuple[RunningJob, AttemptResult]] = []
        self._sending: list[tuple[RunningJob, AttemptResult]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def record(self, job: RunningJob, result: AttemptResult) -> None:
        """Takes an outcome, to be written soon."""
        if not self._gathering:
            self._idle.clear()
            self._wake.set()
        self._gathering.append((job, result))

    @property
    def pending(self) -> int:
        """How many outcomes are not written yet."""
        return len(self._gathering) + len(self._sending)

    def holds(self, job_id: int, lease: int) -> bool:
        """Returns whether the outcome of an attempt is not written yet."""
        return any((job.id, job.lease) == (job_id, lease) for job, _ in (*self._sending, *self._gathering))

    async def flushed(self) -> None:
        """Waits until every outcome is written."""
        await self._idle.wait()

    async def run(self) -> None:
        """Writes outcomes until cancelled."""
        backoff = ReconnectBackoff()
        unsure = False
        while True:
            await self._wake.wait()
            self._wake.clear()
            while self._gathering or self._sending:
                if not self._sending:
                    self._sending, self._gathering = self._gathering[:BATCH], self._gathering[BATCH:]
                    unsure = False
                try:
                    counted = await self._write(self._sending)
                except DatabaseUnavailableError as error:
                    unsure = True
                    await backoff.wait(logger, f"{self.pending} outcomes are kept until Postgres is available: {error}")
                    continue
                backoff.reset()
                # If the reply to the first attempt was lost, its outcomes may have counted. Then those of the second
                # don't, and nothing is wrong.
                if len(counted) < len(self._sending) and not unsure:
                    self._warn(counted)
                settled = [(job, counted.get(job.id)) for job, _ in self._sending]
                self._sending = []
                self._settled_jobs.announce(settled)
            self._idle.set()

    def _warn(self, counted: Mapping[int, JobState]) -> None:
        for job, result in self._sending:
            if job.id not in counted:
                logger.warning(
                    "job %d: the outcome %r of lease %d is ignored: the job has a newer lease, or is not running",
                    job.id,
                    str(result.state),
                    job.lease,
                )

    async def _write(self, batch: list[tuple[RunningJob, AttemptResult]]) -> dict[int, JobState]:
        """Writes a batch. Returns the jobs whose outcomes counted, each with its new state."""
        # Sorted by id: two workers with outcomes of the same jobs wait for each other instead of deadlocking.
        batch = sorted(batch, key=lambda item: item[0].id)
        # By identity: only the constant itself has no output, and completions without one take a shorter statement.
        completed = [job for job, result in batch if result is COMPLETED]
        counted: dict[int, JobState] = {}
        if completed:
            ids = [job.id for job in completed]
            async with self._connection.use() as connection:
                params = {"ids": numbers(ids), "leases": numbers([job.lease for job in completed])}
                cursor = await connection.execute(self._complete, params, prepare=True)
                [row] = await cursor.fetchall()
            counted = dict.fromkeys(ids if row["counted"] is None else row["counted"], JobState.COMPLETED)
        if others := [item for item in batch if item[1] is not COMPLETED]:
            params = settle_params([(job.id, job.lease, result) for job, result in others])
            rows = await self._connection.execute(self._settle, params)
            counted.update((row["id"], JobState(row["state"])) for row in rows)
        return counted


def settle_params(batch: Sequence[tuple[int, int, AttemptResult]]) -> dict[str, Any]:
    """Returns the parameters of settle.sql for attempts, each given by the job's id, its lease and its result."""
    results = [result for _, _, result in batch]
    return {
        "ids": [job_id for job_id, _, _ in batch],
        "leases": [lease for _, lease, _ in batch],
        "states": [str(result.state) for result in results],
        "spent": [result.counts_as_attempt for result in results],
        "delays_ms": [result.delay_ms for result in results],
        "errors": [json.dumps(result.error) if result.error else None for result in results],
        "outputs": [result.output for result in results],
    }
