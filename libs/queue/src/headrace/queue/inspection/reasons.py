"""The reasons why a job does not run: a closed set, each with its evidence. `explain` finds the one that holds.

A reason's `code` is its name in the contract.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Literal

from headrace.queue.job import AttemptFailure, JobState


@dataclass(frozen=True)
class Finished:
    """It has ended: completed, cancelled or discarded."""

    code: ClassVar = "finished"
    state: JobState
    finished_at: datetime
    last_error: AttemptFailure | None


@dataclass(frozen=True)
class Quarantined:
    """It was set aside without spending an attempt: it can't be decoded, or too many workers died with it."""

    code: ClassVar = "quarantined"
    quarantined_at: datetime
    error: AttemptFailure | None
    deaths: int


@dataclass(frozen=True)
class Hung:
    """It runs, but its worker's event loop does not move. The process lives, so nobody else gets the job."""

    code: ClassVar = "hung"
    worker: str
    hung_since: datetime
    claimed_at: datetime


@dataclass(frozen=True)
class Running:
    """It runs."""

    code: ClassVar = "running"
    worker: str
    claimed_at: datetime
    deadline: datetime
    """When its timeout ends the attempt."""
    silence: timedelta
    """How long ago its worker last gave a sign of life."""
    cancel_requested_at: datetime | None


@dataclass(frozen=True)
class Scheduled:
    """It waits for its time."""

    code: ClassVar = "scheduled"
    run_at: datetime


@dataclass(frozen=True)
class WaitsForRetry:
    """An attempt failed; it waits for the next one."""

    code: ClassVar = "waits_for_retry"
    retry_at: datetime
    attempt: int
    max_attempts: int
    last_error: AttemptFailure | None


@dataclass(frozen=True)
class Pending:
    """It waits for other jobs."""

    code: ClassVar = "pending"


@dataclass(frozen=True)
class Paused:
    """Everything, its kind or its queue is paused."""

    code: ClassVar = "paused"
    what: Literal["all", "kind", "queue"]
    name: str
    """Of the kind or the queue."""
    paused_at: datetime
    paused_by: str
    others: int = 0
    """How many more pauses hold it: each has to be ended."""


@dataclass(frozen=True)
class KindNotKnown:
    """No live worker knows its kind."""

    code: ClassVar = "kind_unknown"
    kind: str
    live_workers: int
    last_known_at: datetime | None
    """When a worker was last there that knew it; None when none is on record."""


@dataclass(frozen=True)
class VersionNotKnown:
    """Live workers know its kind in older versions only."""

    code: ClassVar = "version_unknown"
    kind: str
    version: int
    worker_version: int
    """The highest that one of them runs."""


@dataclass(frozen=True)
class QueueUnserved:
    """Live workers know its kind and version, but none of them claims from its queue."""

    code: ClassVar = "queue_unserved"
    queue: str
    served_queues: tuple[str, ...]
    """Those that they claim from."""


@dataclass(frozen=True)
class JobsDisabled:
    """The workers that could run it have jobs disabled."""

    code: ClassVar = "jobs_disabled"
    workers: tuple[str, ...]
    """Their names; at most 10."""


@dataclass(frozen=True)
class QueueFull:
    """As many jobs of its queue run as may run at once."""

    code: ClassVar = "queue_full"
    queue: str
    max_running: int
    jobs_before: int
    more: bool
    """Whether there are more of them than were counted."""


@dataclass(frozen=True)
class Behind:
    """It stands in line behind others, or first in a line that nobody has a free slot for."""

    code: ClassVar = "behind"
    jobs_before: int
    """Those that could be claimed."""
    more: bool
    """Whether there may be more of them: the look ends after 10,000 jobs."""
    jobs_per_second: float
    eta: timedelta | None
    """How long it takes at that rate until it is its turn. None when the rate is 0, or no worker moves."""
    free_slots: int
    """How many more jobs of the queue the workers could take at their last beat."""
    workers: int
    """How many live workers could run it."""
    hung_workers: int
    """How many of those don't move."""


@dataclass(frozen=True)
class Next:
    """Nothing is in its way."""

    code: ClassVar = "next"
    ready_at: datetime


@dataclass(frozen=True)
class Duplicate:
    """There is no such job: an earlier one stands for it."""

    code: ClassVar = "duplicate"
    job_id: int
    state: JobState | None
    """Where that job stands; None when its row is gone and only its key is left."""
    by: Literal["key", "unique"]
    until: datetime | None
    """When that ends; None when it is open."""


@dataclass(frozen=True)
class NotEnqueued:
    """There is no such job, and enqueuing it would be accepted."""

    code: ClassVar = "not_enqueued"


Reason = (
    Finished
    | Quarantined
    | Hung
    | Running
    | Scheduled
    | WaitsForRetry
    | Pending
    | Paused
    | KindNotKnown
    | VersionNotKnown
    | QueueUnserved
    | JobsDisabled
    | QueueFull
    | Behind
    | Next
    | Duplicate
    | NotEnqueued
)
