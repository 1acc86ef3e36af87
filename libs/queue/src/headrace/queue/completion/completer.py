"""Writes outcomes in batches, each fenced by the lease that its attempt ran under.

While one batch is on its way the next one gathers, so batches are as large as the load makes them and a single outcome
waits for nothing. When Postgres is away nothing is lost: outcomes are kept and sent again. An outcome whose lease is no
longer the job's counts for nothing, and is logged.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

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


Settled = tuple[RunningJob, JobState | None]
"""A job, and the state that it is in now."""


class Completer:
    """The worker's writer of outcomes.

    Args:
        link: Its connection.
        schema: The installation's schema.
        on_decided: Called with the jobs whose outcomes are in the database, each with its state; or None, when the
            outcome has turned out not to count.
    """

    def __init__(
        self, link: ReconnectingConnection, schema: str, on_settled: Callable[[Sequence[Settled]], None]
    ) -> None:
        self._link = link
        self._complete = statement("complete", schema)
        self._settle = statement("settle", schema)
        self._on_settled = on_settled
        self._gathering: list[tuple[RunningJob, AttemptResult]] = []
        self._sending: list[tuple[RunningJob, AttemptResult]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def record(self, job: RunningJob, decision: AttemptResult) -> None:
        """Takes an outcome; it is written soon."""
        if not self._gathering:
            self._idle.clear()
            self._wake.set()
        self._gathering.append((job, decision))

    @property
    def pending(self) -> int:
        """How many outcomes are not written yet."""
        return len(self._gathering) + len(self._sending)

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether the outcome of that attempt is not written yet."""
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
                except DatabaseUnavailableError as away:
                    unsure = True
                    await backoff.wait(logger, f"{self.pending} outcomes are kept until Postgres is back: {away}")
                    continue
                backoff.reset()
                # After a lost answer the first try may have counted: then this one doesn't, and nothing is wrong.
                if len(counted) < len(self._sending) and not unsure:
                    self._warn(counted)
                decided = [(job, counted.get(job.id)) for job, _ in self._sending]
                self._sending = []
                self._on_settled(decided)
            self._idle.set()

    def _warn(self, counted: Mapping[int, JobState]) -> None:
        for job, decision in self._sending:
            if job.id not in counted:
                logger.warning(
                    "job %d: the outcome %r of lease %d came too late and counts for nothing",
                    job.id,
                    str(decision.state),
                    job.lease,
                )

    async def _write(self, batch: list[tuple[RunningJob, AttemptResult]]) -> dict[int, JobState]:
        """Answers the jobs whose outcome counted, each with the state that it is in now."""
        # Sorted by id, so that two workers with outcomes of the same jobs wait for each other instead of deadlocking.
        batch = sorted(batch, key=lambda item: item[0].id)
        completed = [job for job, decision in batch if decision is COMPLETED]
        counted: dict[int, JobState] = {}
        if completed:
            ids = [job.id for job in completed]
            async with self._link.use() as connection:
                params = {"ids": numbers(ids), "leases": numbers([job.lease for job in completed])}
                answer = await connection.execute(self._complete, params, prepare=True)
                [row] = await answer.fetchall()
            counted = dict.fromkeys(ids if row["counted"] is None else row["counted"], JobState.COMPLETED)
        if others := [item for item in batch if item[1] is not COMPLETED]:
            params = settle_params([(job.id, job.lease, decision) for job, decision in others])
            rows = await self._link.execute(self._settle, params)
            counted.update((row["id"], JobState(row["state"])) for row in rows)
        return counted


def settle_params(batch: Sequence[tuple[int, int, AttemptResult]]) -> dict[str, Any]:
    """The parameters of settle.sql for jobs, given as id and lease, with what is decided about them."""
    decisions = [decision for _, _, decision in batch]
    return {
        "ids": [job_id for job_id, _, _ in batch],
        "leases": [lease for _, lease, _ in batch],
        "states": [str(decision.state) for decision in decisions],
        "spent": [decision.counts_as_attempt for decision in decisions],
        "delays_ms": [decision.delay_ms for decision in decisions],
        "errors": [json.dumps(decision.error) if decision.error else None for decision in decisions],
        "outputs": [decision.output for decision in decisions],
    }
