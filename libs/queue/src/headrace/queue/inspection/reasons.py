"""The reasons why a job is not running: a closed set, each with its evidence. explain.py finds the one that holds.

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
    """It was set aside without using up an attempt: it can't be decoded, or too many workers died while running it."""

    code: ClassVar = "quarantined"
    quarantined_at: datetime
    error: AttemptFailure | None
    deaths: int


@dataclass(frozen=True)
class Hung:
    """It is running, but its worker's event loop is blocked. The process is alive, so no other worker gets the job."""

    code: ClassVar = "hung"
    worker: str
    hung_since: datetime
    claimed_at: datetime


@dataclass(frozen=True)
class Running:
    """It is running."""

    code: ClassVar = "running"
    worker: str
    claimed_at: datetime
    deadline: datetime
    """When its attempt times out."""
    silence: timedelta
    """How long ago its worker's last heartbeat was."""
    cancel_requested_at: datetime | None


@dataclass(frozen=True)
class Scheduled:
    """It is scheduled for later."""

    code: ClassVar = "scheduled"
    run_at: datetime


@dataclass(frozen=True)
class WaitsForRetry:
    """An attempt failed, and the next one is not due yet."""

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
    """The name of the kind or the queue; empty for all."""
    paused_at: datetime
    paused_by: str
    others: int = 0
    """How many other pauses block it too."""


@dataclass(frozen=True)
class KindNotKnown:
    """No live worker knows its kind."""

    code: ClassVar = "kind_unknown"
    kind: str
    live_workers: int
    last_known_at: datetime | None
    """When the last worker that knew it was seen. None: no worker on record knew it."""


@dataclass(frozen=True)
class VersionNotKnown:
    """Live workers know its kind in older versions only."""

    code: ClassVar = "version_unknown"
    kind: str
    version: int
    worker_version: int
    """The highest version that a live worker runs."""


@dataclass(frozen=True)
class QueueUnserved:
    """Live workers know its kind and version, but none of them claims from its queue."""

    code: ClassVar = "queue_unserved"
    queue: str
    served_queues: tuple[str, ...]
    """The queues that these workers claim from."""


@dataclass(frozen=True)
class JobsDisabled:
    """The workers that could run it have jobs disabled."""

    code: ClassVar = "jobs_disabled"
    workers: tuple[str, ...]
    """Their names; at most 10."""


@dataclass(frozen=True)
class QueueFull:
    """As many jobs of its queue are running as its limit allows."""

    code: ClassVar = "queue_full"
    queue: str
    max_running: int
    jobs_before: int
    more: bool
    """Whether there are more of these jobs than were counted."""


@dataclass(frozen=True)
class Behind:
    """Other jobs are ahead of it in its queue, or it is the first one and no worker has a free slot."""

    code: ClassVar = "behind"
    jobs_before: int
    """How many jobs ahead of it could be claimed."""
    more: bool
    """Whether there may be more: counting stops after 10,000 jobs."""
    jobs_per_second: float
    eta: timedelta | None
    """How long it takes at that rate until it is claimed. None: the rate is 0, or every worker hangs."""
    free_slots: int
    """How many more jobs of the queue the workers could claim at their last heartbeat."""
    workers: int
    """How many live workers could run it."""
    hung_workers: int
    """How many of these workers hang."""


@dataclass(frozen=True)
class Next:
    """Nothing blocks it."""

    code: ClassVar = "next"
    ready_at: datetime


@dataclass(frozen=True)
class Duplicate:
    """Enqueueing it would create no job: it is a duplicate of an earlier one."""

    code: ClassVar = "duplicate"
    job_id: int
    state: JobState | None
    """The state of the earlier job. None: it was deleted, and only its key is left."""
    by: Literal["key", "unique"]
    until: datetime | None
    """Until when it is a duplicate. None: until the earlier job's state changes."""


@dataclass(frozen=True)
class NotEnqueued:
    """There is no such job, and enqueueing it would be accepted."""

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
