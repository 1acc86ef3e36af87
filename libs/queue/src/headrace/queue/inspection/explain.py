"""Explains why a job is not running: one reason out of a closed set, the first one that holds, with its evidence.

A job that has not ended and is not running waits for a time, or is available. An available job is claimed, unless
something is paused; or no live worker knows its kind, or of these none knows its version, or of these none claims from
its queue, or all of these have jobs disabled; or its queue is full; or other jobs are ahead of it, or no slot is free.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from psycopg.errors import QueryCanceled

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, Row, both
from headrace.queue.enqueue.enqueuer import Enqueuer
from headrace.queue.enqueue.new_job import NewJob
from headrace.queue.errors import JobNotFoundError
from headrace.queue.inspection.jobs import get_job_plan
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

# How many jobs ahead of it are counted, which takes about 50 ms.
MOST_BEFORE = 10_000
UNCOUNTED = -1
# How long counting may take.
TIME_LIMIT = timedelta(seconds=1)
MOST_NAMES = 10


@dataclass(frozen=True)
class Explanation:
    """Why a job is not running."""

    job: Job | None
    """The job. None: there is no such job."""
    reason: Reason
    at: datetime
    """When the reason held, by the database's clock."""

    @property
    def summary(self) -> str:
        """The reason in a sentence or two. It quotes nothing from a payload."""
        return reason_text(self.reason, self.at)

    def seen_as(self, job: Job) -> Explanation:
        """Returns the explanation with a redacted view of its job, and with the errors of that view as its evidence."""
        match self.reason:
            case Finished() | WaitsForRetry():
                return replace(self, job=job, reason=replace(self.reason, last_error=_last(job)))
            case Quarantined():
                return replace(self, job=job, reason=replace(self.reason, error=_last(job)))
        return replace(self, job=job)


def explain_job_plan(job_id: int, *, schema: str = DEFAULT_SCHEMA) -> Plan[Explanation]:
    """Returns why a job is not running, or that it is running or has ended.

    All evidence is from one statement, and so from one moment. It takes about 50 ms at most, however long the queue is.
    Where vacuum is held back, counting the jobs ahead may have to pass many dead index entries. It then stops after a
    second, and the reason shows that (`more`).

    Raises:
        JobNotFoundError: There is no job with that id, or it was deleted.
        TypeError: The id is not an int, or the connection is not of a supported kind.
    """
    require_type("explain_job", int, job_id=job_id)
    if not 0 < job_id <= MAX_ID:
        raise JobNotFoundError(job_id)
    row = yield from _look(job_id, schema)
    if row is None:
        raise JobNotFoundError(job_id)
    evidence = row["evidence"]
    job = Job.from_row({name: value for name, value in row.items() if name != "evidence"})
    return Explanation(job, _reason(job, evidence), datetime.fromisoformat(evidence["at"]))


explain_job, explain_job_async = both(explain_job_plan)


def explain_enqueue_plan(enqueuer: Enqueuer, job: NewJob, *, schema: str = DEFAULT_SCHEMA) -> Plan[Explanation]:
    """Returns what enqueueing a job would do: it is a duplicate of another job, or would be accepted.

    Nothing is written or locked. What another transaction has enqueued and not committed yet is not seen, while an
    enqueue would wait for that transaction.

    Args:
        enqueuer: What would enqueue the job.
        job: The job.
        schema: The installation's schema.

    Raises:
        EnqueueError: The job would be rejected; the class says why.
    """
    existing = yield from enqueuer.find_existing_plan(job)
    [row] = yield Query("select clock_timestamp() as at", {}, alone=True)
    if existing is None:
        return Explanation(None, NotEnqueued(), row["at"])
    found: Job | None = None
    with contextlib.suppress(JobNotFoundError):
        found = yield from get_job_plan(existing.job_id, schema=schema)
    state = found.state if found else None
    return Explanation(found, Duplicate(existing.job_id, state, existing.by, existing.until), row["at"])


explain_enqueue, explain_enqueue_async = both(explain_enqueue_plan)


def _look(job_id: int, schema: str) -> Plan[Row | None]:
    """Reads the job with its evidence, without the count of jobs ahead where that takes longer than TIME_LIMIT."""
    text = statement("explain_job", schema)
    params = {"job_id": job_id, "most": MOST_BEFORE, "present_within": PRESENT_WITHIN}
    # The time limit is set below a savepoint: rolling back to it restores the caller's own limit.
    yield Query("savepoint headrace_explain", {})
    limit = {"milliseconds": str(TIME_LIMIT // timedelta(milliseconds=1))}
    yield Query("select set_config('statement_timeout', %(milliseconds)s, true)", limit)
    rows: list[Row] | None
    try:
        rows = yield Query(text, params)
    except QueryCanceled:
        rows = None
    yield Query("rollback to savepoint headrace_explain; release savepoint headrace_explain", {})
    if rows is None:
        rows = yield Query(text, {**params, "most": UNCOUNTED})
    return rows[0] if rows else None


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
        case JobState.SCHEDULED if not evidence["available"]:
            return Scheduled(_known(job.ready_at))
        case JobState.RETRYABLE if not evidence["available"]:
            return WaitsForRetry(_known(job.ready_at), job.attempt, job.max_retries + 1, _last(job))
    return next(_obstacles(job, evidence))


def _held(job: Job, evidence: Mapping[str, Any]) -> Reason:
    claimed_at, worker = _known(job.claimed_at), job.worker or ""
    if job.hung_since is not None:
        return Hung(worker, job.hung_since, claimed_at)
    silence = timedelta(seconds=max(evidence["silence"] or 0.0, 0.0))
    return Running(worker, claimed_at, claimed_at + job.timeout, silence, job.cancel_requested_at)


def _obstacles(job: Job, evidence: Mapping[str, Any]) -> Iterator[Reason]:
    """Yields what keeps an available job from being claimed, the most important first. The last is `Next`."""
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
    responsive = [worker for worker in enabled if not worker["hung"]]
    # A worker reports its free slots with its first heartbeat.
    free = sum(1 if worker["free"] is None else worker["free"] for worker in responsive)
    if before or more or not free:
        rate = sum(worker["rate"] for worker in responsive)
        known = responsive and (before or not more)
        eta = time_at(rate, before if free else before + 1) if known else None
        yield Behind(before, more, rate, eta, free, len(enabled), len(enabled) - len(responsive))
    yield Next(_known(job.ready_at))


def _last(job: Job) -> AttemptFailure | None:
    return job.errors[-1] if job.errors else None


def _known(time: datetime | None) -> datetime:
    """Returns a time that every job in the given state has."""
    assert time is not None
    return time
