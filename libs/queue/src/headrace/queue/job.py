"""A job, a queue and a pause, as they are read from the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Literal


class JobState(StrEnum):
    """A job's state. The states are those of River, and `quarantined`."""

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
    """An exception's class name, or one of the engine's own types.

    Those are "timeout", "worker_lost", "undecodable", "rolled_back", "memory_limit" and "process_died".
    """
    message: str
    traceback: str


@dataclass(frozen=True)
class TraceParent:
    """The W3C trace context of the span that caused a job, as header values."""

    traceparent: str
    tracestate: str = ""
    baggage: str = ""


@dataclass(frozen=True)
class Job:
    """A job as it was when it was read. All times are by the database's clock."""

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
    """What the handler returned with `Done(output)`."""
    progress: Any = None
    """What the handler last reported."""
    tags: list[str] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    deaths: int = 0
    """How many workers died while they ran it."""

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Job:
        """Returns the job in a row of get_job.sql or list_jobs.sql."""
        values = dict(row)
        values["state"] = JobState(values["state"])
        values["timeout"] = timedelta(milliseconds=values.pop("timeout_ms"))
        errors = values["errors"] or []
        values["tags"] = values["tags"] or []
        values["errors"] = [AttemptFailure(**{**error, "at": datetime.fromisoformat(error["at"])}) for error in errors]
        return cls(**values)


@dataclass(frozen=True)
class Queue:
    """A queue of jobs."""

    name: str
    paused_at: datetime | None = None
    paused_by: str | None = None
    max_running: int | None = None
    """How many of its jobs may run at once, over all processes; None for any number."""
    retention: Mapping[JobState, timedelta] = field(default_factory=dict)
    """How long its finished jobs are kept, by state, where that differs from the general retention."""


@dataclass(frozen=True)
class Pause:
    """A pause of a kind, a queue or everything: none of its jobs is claimed."""

    what: Literal["all", "kind", "queue"]
    name: str
    """The kind or the queue; empty for everything."""
    paused_at: datetime
    paused_by: str
