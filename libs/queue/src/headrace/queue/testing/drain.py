"""Runs available jobs in the transaction of a test: a worker's real statements and executor, one job at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from itertools import count
from typing import Protocol

import psycopg
from psycopg.pq import TransactionStatus

from headrace.queue.claiming.claimed_rows import running_jobs
from headrace.queue.claiming.cursor import Cursor
from headrace.queue.completion.completer import settle_params
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query, Result
from headrace.queue.errors import QueueError
from headrace.queue.execution.attempt_result import AttemptResult
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.middleware import PlainWork, Work
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import Job
from headrace.queue.kinds.kind import Kind
from headrace.queue.maintenance.scheduler import BATCH
from headrace.queue.periodic.ticker import Ticker

AT_ONCE = RetryPolicy(base=timedelta(microseconds=1), factor=1, jitter=0)
"""Failed jobs are retried at once."""


class DrainUnendingError(QueueError):
    """Jobs are left after the limit of attempts: a handler may enqueue its own kind, or snooze for no time."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"after {attempts} attempts there are still jobs available: does a handler enqueue its own kind each time?"
        )
        self.attempts = attempts


class TransactionEndedError(QueueError):
    """A handler has committed or rolled back the transaction of the test."""

    def __init__(self, job: RunningJob) -> None:
        super().__init__(
            f"the handler of job {job.id} ({job.kind.name}) has committed or rolled back the test's own transaction. "
            "On this connection it may only use savepoints (connection.transaction())"
        )


class Execute(Protocol):
    """Runs a plan on the test's connection."""

    async def __call__(self, plan: Plan[Result]) -> Result:
        """Returns the plan's result."""


class Drain:
    """One drain.

    Args:
        info: Of the test's connection.
        handlers: What runs which kind.
        ticker: The periodic jobs.
        retry: The backoff between attempts.
        schema: The installation's schema.
        run_plain: How plain handlers run.
    """

    def __init__(
        self,
        info: psycopg.ConnectionInfo,
        handlers: Handlers,
        ticker: Ticker,
        retry: RetryPolicy,
        schema: str,
        run_plain: Callable[[PlainWork], Work],
    ) -> None:
        self._info = info
        self._handlers = handlers
        self._ticker = ticker
        self._retry = retry
        self._schema = schema
        self._run_plain = run_plain
        self._results: list[tuple[int, int, AttemptResult]] = []
        self._progress: list[tuple[int, int, str]] = []
        self._claims = count(1)

    async def run(self, execute: Execute, kinds: Collection[Kind], limit: int) -> list[Job]:
        """Runs jobs of these kinds until none is available; returns them in the order of their first attempts."""
        executor = Executor(
            self._handlers,
            self,
            self,
            self._retry,
            schema=self._schema,
            report_progress=lambda *report: self._progress.append(report),
            freed=asyncio.Event(),
            run_plain=self._run_plain,
        )
        queues = sorted({kind.queue for kind in kinds})
        versions = {name: kind.version for kind in kinds for name in kind.names}
        seen: dict[int, None] = {}
        attempts = 0
        try:
            worker_id = await execute(self._begin())
            busy = True
            while busy:
                busy = False
                for queue in queues:
                    if (job := await execute(self._claim(worker_id, queue, versions))) is None:
                        continue
                    if attempts == limit:
                        raise DrainUnendingError(limit)
                    attempts += 1
                    busy = True
                    seen[job.id] = None
                    await execute(self._before())
                    executor.take([job])
                    executor.begin([job])
                    await executor.idle()
                    await execute(self._after(job))
                await execute(self._due())
        finally:
            await executor.close()
        return [await execute(self._read(job_id)) for job_id in seen]

    def record(self, job: RunningJob, result: AttemptResult) -> None:
        """Receives an outcome from the executor."""
        self._results.append((job.id, job.lease, result))

    def take(self, job: RunningJob, otherwise: AttemptResult) -> None:
        """Receives an attempt that has completed its job itself: `otherwise` counts only if that was rolled back."""
        self.record(job, otherwise)

    def holds(self, job_id: int, lease: int) -> bool:  # noqa: ARG002
        """Returns whether a completion is still uncommitted elsewhere. Here there is one transaction alone."""
        return False

    def _begin(self) -> Plan[int]:
        """Registers a worker, declares periodic jobs, and makes available what is due."""
        params = {
            "name": "test",
            "queues": list(self._handlers.queues),
            "kinds": list(self._handlers.versions),
            "versions": list(self._handlers.versions.values()),
            "slots": 1,
            "enabled": True,
        }
        [row] = yield Query(statement("register_worker", self._schema), params)
        yield from self._ticker.declare()
        yield from self._due()
        worker_id: int = row["id"]
        return worker_id

    def _due(self) -> Plan[None]:
        while (yield from self._ticker.tick()):
            pass
        while sum(row["jobs"] for row in (yield Query(statement("promote", self._schema), {"limit": BATCH}))) == BATCH:
            pass

    def _claim(self, worker_id: int, queue: str, versions: Mapping[str, int]) -> Plan[RunningJob | None]:
        """Claims the next job of a queue."""
        claim_no = next(self._claims)
        params = {
            **Cursor().params(),
            "worker_id": worker_id,
            "claim_no": claim_no,
            "queue": queue,
            "kinds": list(versions),
            "versions": list(versions.values()),
            "limit": 1,
        }
        _, *rows = yield Query(statement("claim", self._schema), params)
        jobs = running_jobs(self._handlers, queue, claim_no, [tuple(row.values()) for row in rows])
        return jobs[0] if jobs else None

    def _before(self) -> Plan[None]:
        yield Query("savepoint headrace_attempt", {})

    def _after(self, job: RunningJob) -> Plan[None]:
        """Writes the outcome of an attempt. If the handler has broken the transaction, its statements are undone."""
        if self._info.transaction_status == TransactionStatus.INERROR:
            yield Query("rollback to savepoint headrace_attempt", {})
        try:
            yield Query("release savepoint headrace_attempt", {})
        except (psycopg.errors.InvalidSavepointSpecification, psycopg.errors.NoActiveSqlTransaction):
            raise TransactionEndedError(job) from None
        results, self._results = self._results, []
        reports, self._progress = self._progress[-1:], []
        yield Query(statement("settle", self._schema), settle_params(results))
        if reports:
            [(job_id, lease, value)] = reports
            params = {"ids": [job_id], "leases": [lease], "values": [value]}
            yield Query(statement("report_progress", self._schema), params)

    def _read(self, job_id: int) -> Plan[Job]:
        [row] = yield Query(statement("get_job", self._schema), {"job_id": job_id})
        return Job.from_row(row)
