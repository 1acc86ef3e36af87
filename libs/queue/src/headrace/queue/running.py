"""The current job, as its handler sees it."""

from __future__ import annotations

import asyncio
import threading
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum

from headrace.queue.job import TraceParent
from headrace.queue.kinds import Kind


class Stop(Enum):
    """Why a running job is told to stop."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DRAINING = "draining"
    LEASE_LOST = "lease_lost"


@dataclass(eq=False)
class RunningJob:
    """An attempt in flight.

    `id` is the same on every attempt: use it to make effects elsewhere idempotent. `lease` only grows, and the engine
    has voided every earlier one: use (id, lease) to fence effects elsewhere.
    """

    id: int
    lease: int
    kind: Kind
    queue: str
    version: int
    payload: bytes
    attempt: int
    max_retries: int
    timeout: float
    """Of this attempt, in seconds."""
    caller: str
    trace: TraceParent | None
    claim_no: int
    waited_ms: float
    deadline: float = 0.0
    """When the timeout strikes, on the clock of the running event loop."""
    stopping: threading.Event = field(default_factory=threading.Event)
    """Set when the job is to stop. A plain function in a thread has to look at it; an async one is cancelled."""
    stop_reason: Stop | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    interruptible: bool = False
    """Whether an async handler is at work, which a cancellation of the task reaches."""

    @property
    def traceparent(self) -> str | None:
        """The creation context's traceparent."""
        return self.trace.traceparent if self.trace else None

    def stop(self, reason: Stop) -> None:
        """Tells the job to stop. To be called on the event loop.

        The first reason stands. Another one interrupts again an async handler that swallowed the first, or still tidies
        up after it; the same one, said twice, doesn't.
        """
        if self.stop_reason is reason:
            return
        if self.stop_reason is None:
            self.stop_reason = reason
            self.stopping.set()
        if self.interruptible and self.task is not None:
            self.task.cancel()


_current: ContextVar[RunningJob | None] = ContextVar("headrace_current_job", default=None)


def current_job() -> RunningJob | None:
    """The job that the calling code is a part of, None outside of handlers."""
    return _current.get()


def enter_job(job: RunningJob) -> None:
    """Makes a job the current one of the calling task. For the executor."""
    _current.set(job)
