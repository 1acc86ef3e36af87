"""Works off what is due in the transaction of a test: a worker's real statements and executor, one job at a time."""

from __future__ import annotations

import asyncio
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
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import Job
from headrace.queue.maintenance.scheduler import BATCH
from headrace.queue.periodic.ticker import Ticker

AT_ONCE = RetryPolicy(base=timedelta(microseconds=1), factor=1, jitter=0)
"""Failed jobs are tried again without a wait."""


class DrainUnendingError(QueueError):
    """There was more to do after so many attempts: a handler enqueues its own kind, say, or snoozes for no time."""

    def __init__(self, attempts: int) -> None:
        super().__init__(
            f"after {attempts} attempts there are still jobs due: does a handler enqueue its own kind again and again?"
        )
        self.attempts = attempts


class TransactionEndedError(QueueError):
    """A handler has committed or rolled back the test's connection, instead of one of its own, or a savepoint."""

    def __init__(self, job: RunningJob) -> None:
        super().__init__(
            f"the handler of job {job.id} ({job.kind.name}) has committed or rolled back the test's own transaction: "
            "what the test did is kept, or gone. It may begin and end savepoints on this connection, no more"
        )


class Execute(Protocol):
    """Runs a plan on the test's connection."""

    async def __call__(self, plan: Plan[Result]) -> Result:
        """Answers what the plan does."""


class Drain:
    """One drain.

    Args:
        info: Of the test's connection.
        handlers: What runs which kind.
        ticker: The periodic jobs.
        retry: The backoff between attempts.
        schema: The installation's schema.
    """

    def __init__(
        self, info: psycopg.ConnectionInfo, handlers: Handlers, ticker: Ticker, retry: RetryPolicy, schema: str
    ) -> None:
        self._info = info
        self._handlers = handlers
        self._ticker = ticker
        self._retry = retry
        self._schema = schema
        self._decisions: list[tuple[int, int, AttemptResult]] = []
        self._progress: list[tuple[int, int, str]] = []
        self._claims = count(1)

    async def run(self, execute: Execute, limit: int) -> list[Job]:
        """Works until nothing is due; answers the jobs that were run, in the order of their first attempts."""
        executor = Executor(
            self._handlers,
            self,
            self,
            self._retry,
            schema=self._schema,
            report_progress=lambda *report: self._progress.append(report),
            freed=asyncio.Event(),
        )
        seen: dict[int, None] = {}
        attempts = 0
        try:
            worker_id = await execute(self._begin())
            busy = True
            while busy:
                busy = False
                for queue in self._handlers.queues:
                    if (job := await execute(self._claim(worker_id, queue))) is None:
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
        """Takes an outcome from the executor."""
        self._decisions.append((job.id, job.lease, result))

    def take(self, job: RunningJob, otherwise: AttemptResult) -> None:
        """Takes an attempt that has completed its job itself. If that stands, `otherwise` will count for nothing."""
        self.record(job, otherwise)

    def holds(self, job_id: int, lease: int) -> bool:  # noqa: ARG002
        """Nothing is ever unsure: there is one transaction."""
        return False

    def _begin(self) -> Plan[int]:
        """Registers a worker, declares periodic jobs, and gets into line what is due."""
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

    def _claim(self, worker_id: int, queue: str) -> Plan[RunningJob | None]:
        """The next job of a queue."""
        claim_no = next(self._claims)
        params = {
            **Cursor().params(),
            "worker_id": worker_id,
            "claim_no": claim_no,
            "queue": queue,
            "kinds": list(self._handlers.versions),
            "versions": list(self._handlers.versions.values()),
            "limit": 1,
        }
        _, *rows = yield Query(statement("claim", self._schema), params)
        jobs = running_jobs(self._handlers, queue, claim_no, [tuple(row.values()) for row in rows])
        return jobs[0] if jobs else None

    def _before(self) -> Plan[None]:
        yield Query("savepoint headrace_attempt", {})

    def _after(self, job: RunningJob) -> Plan[None]:
        """Writes what became of an attempt. What a handler has broken of the transaction is taken back."""
        if self._info.transaction_status == TransactionStatus.INERROR:
            yield Query("rollback to savepoint headrace_attempt", {})
        try:
            yield Query("release savepoint headrace_attempt", {})
        except (psycopg.errors.InvalidSavepointSpecification, psycopg.errors.NoActiveSqlTransaction):
            raise TransactionEndedError(job) from None
        decisions, self._decisions = self._decisions, []
        reports, self._progress = self._progress[-1:], []
        yield Query(statement("settle", self._schema), settle_params(decisions))
        if reports:
            [(job_id, lease, value)] = reports
            params = {"ids": [job_id], "leases": [lease], "values": [value]}
            yield Query(statement("report_progress", self._schema), params)

    def _read(self, job_id: int) -> Plan[Job]:
        [row] = yield Query(statement("get_job", self._schema), {"job_id": job_id})
        return Job.from_row(row)
