"""Why is this job not running? One answer out of a closed set, with the evidence: the first reason that holds.

A job that has not ended and does not run waits for a time, or stands in line. In line it is claimed unless something is
paused, or no worker is there that knows its kind, and among those its version, and among those its queue, and among
those one with jobs enabled; or its queue is full; or others stand before it, or every slot is taken.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg import AsyncConnection
from psycopg.errors import QueryCanceled
from psycopg.rows import tuple_row

from headrace.queue.db.statements import DEFAULT_SCHEMA, rows
from headrace.queue.enqueue.enqueuer import Enqueuer
from headrace.queue.enqueue.new_job import NewJob
from headrace.queue.errors import JobNotFoundError
from headrace.queue.inspection.jobs import get_job
from headrace.queue.inspection.queue_stats import PRESENT_WITHIN, time_at
from headrace.queue.inspection.reason_text import reason_text
from headrace.queue.inspection.reasons import (
    Behind,
    Duplicate,
    Finished,
    Hung,
    JobsDisabled,
    KindNotKnown,
    Next,
    NotEnqueued,
    Paused,
    Pending,
    Quarantined,
    QueueFull,
    QueueUnserved,
    Reason,
    Running,
    Scheduled,
    VersionNotKnown,
    WaitsForRetry,
)
from headrace.queue.inspection.search import MAX_ID
from headrace.queue.job import AttemptFailure, Job, JobState

# Jobs before it that are looked at: some 50 ms.
MOST_BEFORE = 10_000
UNCOUNTED = -1
PATIENCE = timedelta(seconds=1)
MOST_NAMES = 10


@dataclass(frozen=True)
class Explanation:
    """Why a job does not run."""

    job: Job | None
    """The job; None where there is none."""
    reason: Reason
    at: datetime
    """When that was so, by the database's clock."""

    @property
    def summary(self) -> str:
        """In a sentence or two, for a person. Says nothing of what is in a payload."""
        return reason_text(self.reason, self.at)

    def seen_as(self, job: Job) -> Explanation:
        """The same, of the job as somebody may see it: with its errors in the place of the original's."""
        match self.reason:
            case Finished() | WaitsForRetry():
                return replace(self, job=job, reason=replace(self.reason, last_error=_last(job)))
            case Quarantined():
                return replace(self, job=job, reason=replace(self.reason, error=_last(job)))
        return replace(self, job=job)


async def explain_job(connection: AsyncConnection[Any], job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Explanation:
    """Why a job does not run, or that it does, or has ended.

    One statement, and so one moment. Costs some 50 ms at most, however long the line is. Where vacuum is held back and
    the head of the line is all dead entries, counting is given up after a second, and the answer says so (`more`).

    Raises:
        JobNotFoundError: There is none of that id, or no longer.
    """
    if not 0 < job_id <= MAX_ID:
        raise JobNotFoundError(job_id)
    try:
        async with _patience(connection):
            row = await _look(connection, job_id, MOST_BEFORE, schema)
    except QueryCanceled:
        row = await _look(connection, job_id, UNCOUNTED, schema)
    if row is None:
        raise JobNotFoundError(job_id)
    evidence = row.pop("evidence")
    job = Job.from_row(row)
    return Explanation(job, _reason(job, evidence), datetime.fromisoformat(evidence["at"]))


async def explain_enqueue(
    connection: AsyncConnection[Any], enqueuer: Enqueuer, wanted: NewJob, *, schema: str = DEFAULT_SCHEMA
) -> Explanation:
    """What would become of an enqueue: it is a duplicate of a job, or would be accepted. Nothing is written or locked.

    What a transaction has taken that is still open is not seen; the door would wait for it.

    Raises:
        EnqueueError: The door would not let it in, as one of its children.
    """
    existing = await enqueuer.find_existing_async(connection, wanted)
    at = await _now(connection)
    if existing is None:
        return Explanation(None, NotEnqueued(), at)
    try:
        job = await get_job(connection, existing.job_id, schema=schema)
    except JobNotFoundError:
        job = None
    return Explanation(job, Duplicate(existing.job_id, job.state if job else None, existing.by, existing.until), at)


@asynccontextmanager
async def _patience(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """A transaction, or a part of the one there is, whose statements may take no longer than PATIENCE."""
    milliseconds = str(int(PATIENCE / timedelta(milliseconds=1)))
    change = "select current_setting('statement_timeout'), set_config('statement_timeout', %s, true)"
    async with connection.transaction(), connection.cursor(row_factory=tuple_row) as cursor:
        [(before, _)] = await (await cursor.execute(change, [milliseconds])).fetchall()
        yield
        await cursor.execute(change, [before])


async def _look(connection: AsyncConnection[Any], job_id: int, most: int, schema: str) -> dict[str, Any] | None:
    params = {"job_id": job_id, "most": most, "present_within": PRESENT_WITHIN}
    found = await rows(connection, "explain_job", params, schema=schema)
    return found[0] if found else None


async def _now(connection: AsyncConnection[Any]) -> datetime:
    async with connection.cursor(row_factory=tuple_row) as cursor:
        row = await (await cursor.execute("select clock_timestamp()")).fetchone()
    assert row is not None
    at: datetime = row[0]
    return at


def _reason(job: Job, evidence: Mapping[str, Any]) -> Reason:
    match job.state:
        case JobState.COMPLETED | JobState.CANCELLED | JobState.DISCARDED:
            return Finished(job.state, _known(job.finished_at), _last(job))
        case JobState.QUARANTINED:
            return Quarantined(_known(job.finished_at), _last(job), job.deaths)
        case JobState.RUNNING:
            return _held(job, evidence)
        case JobState.PENDING:
            return Pending()
        case JobState.SCHEDULED if not evidence["in_line"]:
            return Scheduled(_known(job.ready_at))
        case JobState.RETRYABLE if not evidence["in_line"]:
            return WaitsForRetry(_known(job.ready_at), job.attempt, job.max_retries + 1, _last(job))
    return next(_obstacles(job, evidence))


def _held(job: Job, evidence: Mapping[str, Any]) -> Reason:
    claimed_at, worker = _known(job.claimed_at), job.worker or ""
    if job.hung_since is not None:
        return Hung(worker, job.hung_since, claimed_at)
    silence = timedelta(seconds=max(evidence["silence"] or 0.0, 0.0))
    return Running(worker, claimed_at, claimed_at + job.timeout, silence, job.cancel_requested_at)


def _obstacles(job: Job, evidence: Mapping[str, Any]) -> Iterator[Reason]:
    """What is in the way of a job that stands in line, the weightiest first; ends with `Next`."""
    if pauses := evidence["pauses"]:
        first = pauses[0]
        at = datetime.fromisoformat(first["paused_at"])
        yield Paused(first["what"], first["name"], at, first["paused_by"], len(pauses) - 1)
    present: Sequence[Mapping[str, Any]] = evidence["workers"] or ()
    knowing = [worker for worker in present if worker["version"] is not None]
    if not knowing:
        last = evidence["last_known_at"]
        yield KindNotKnown(job.kind, len(present), datetime.fromisoformat(last) if last else None)
    able = [worker for worker in knowing if worker["version"] >= job.version]
    if not able:
        yield VersionNotKnown(job.kind, job.version, max((worker["version"] for worker in knowing), default=0))
    serving = [worker for worker in able if worker["serves"]]
    if not serving:
        yield QueueUnserved(job.queue, tuple(sorted({queue for worker in able for queue in worker["queues"]})))
    enabled = [worker for worker in serving if worker["enabled"]]
    if not enabled:
        yield JobsDisabled(tuple(worker["name"] for worker in serving[:MOST_NAMES]))
    before, more = evidence["before"], evidence["more"]
    if (limit := evidence["limit"]) and limit["running"] >= limit["max_running"]:
        yield QueueFull(job.queue, limit["max_running"], before, more)
    moving = [worker for worker in enabled if not worker["hung"]]
    # A worker reports its free slots with its first heartbeat.
    free = sum(1 if worker["free"] is None else worker["free"] for worker in moving)
    if before or more or not free:
        rate = sum(worker["rate"] for worker in moving)
        known = moving and (before or not more)
        eta = time_at(rate, before if free else before + 1) if known else None
        yield Behind(before, more, rate, eta, free, len(enabled), len(enabled) - len(moving))
    yield Next(_known(job.ready_at))


def _last(job: Job) -> AttemptFailure | None:
    return job.errors[-1] if job.errors else None


def _known(time: datetime | None) -> datetime:
    """A time that a job in its state has."""
    assert time is not None
    return time
