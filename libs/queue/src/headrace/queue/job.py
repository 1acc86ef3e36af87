"""What a job looks like from outside: its row, read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal


class JobState(StrEnum):
    """Where a job stands. The words are River's, plus `quarantined`."""

    SCHEDULED = "scheduled"
    AVAILABLE = "available"
    RUNNING = "running"
    RETRYABLE = "retryable"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    DISCARDED = "discarded"
    QUARANTINED = "quarantined"
    PENDING = "pending"


FINAL_STATES = frozenset({JobState.COMPLETED, JobState.CANCELLED, JobState.DISCARDED, JobState.QUARANTINED})


@dataclass(frozen=True)
class AttemptFailure:
    """One failed attempt."""

    attempt: int
    lease: int
    at: datetime
    type: str
    """An exception's class name, or what the engine says.

    That is "timeout", "worker_lost", "undecodable", "rolled_back", "memory_limit" or "process_died".
    """
    message: str
    traceback: str


@dataclass(frozen=True)
class TraceParent:
    """The W3C context of the span that caused a job, as header values."""

    traceparent: str
    tracestate: str = ""
    baggage: str = ""


@dataclass(frozen=True)
class Job:
    """A job as it stood when it was read. Times are the database's."""

    id: int
    kind: str
    queue: str
    state: JobState
    priority: int
    attempt: int
    max_retries: int
    timeout: timedelta
    version: int
    payload: bytes = field(repr=False)
    caller: str
    lease: int
    worker: str | None
    created_at: datetime
    ready_at: datetime | None
    claimed_at: datetime | None
    finished_at: datetime | None
    hung_since: datetime | None
    cancel_requested_at: datetime | None
    traceparent: str | None
    errors: list[AttemptFailure] = field(default_factory=list)
    output: Any = None
    """What the handler answered with `Done(output)`."""
    progress: Any = None
    """What the handler last reported."""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    deaths: int = 0
    """How many workers died while they ran it."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Job:
        """The job of a row of get_job.sql or list_jobs.sql."""
        values = dict(row)
        values["state"] = JobState(values["state"])
        values["timeout"] = timedelta(milliseconds=values.pop("timeout_ms"))
        errors = values["errors"] or []
        values["tags"] = values["tags"] or []
        values["errors"] = [AttemptFailure(**{**error, "at": datetime.fromisoformat(error["at"])}) for error in errors]
        return cls(**values)


@dataclass(frozen=True)
class Queue:
    """A queue that jobs stand in."""

    name: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    max_running: int | None = None
    """How many of its jobs may run at once, over all processes; None: any number."""
    retention: Mapping[JobState, timedelta] = field(default_factory=dict)
    """How long its finished jobs are kept, by the state they have ended in, where that is not as everywhere."""


@dataclass(frozen=True)
class Pause:
    """Something that nothing is claimed of."""

    what: Literal["all", "kind", "queue"]
    name: str
    """Of the kind or the queue."""
    paused_at: datetime
    paused_by: str
