"""The current job, as its handler sees it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import psycopg

from headrace.queue.db.jsonb import encoded
from headrace.queue.db.transaction import (
    Plan,
    commits_each,
    psycopg_async_connection,
    psycopg_connection,
    run,
    run_async,
)
from headrace.queue.execution.transactional_completion import completion
from headrace.queue.job import TraceParent
from headrace.queue.kinds.kind import Kind
from headrace.redaction import Secret, redact

if TYPE_CHECKING:
    from google.protobuf.message import Message

    from headrace.queue.db.transaction import AnyAsyncConnection, AnyConnection

OUTPUT_LIMIT = 256 * 1024
PROGRESS_LIMIT = 4 * 1024


class Stop(Enum):
    """Why a running job is told to stop."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DRAINING = "draining"
    LEASE_LOST = "lease_lost"


@dataclass(frozen=True)
class Home:
    """What a running job's own calls need of its worker."""

    schema: str
    report: Callable[[int, int, str], None]
    """Takes progress: id, lease, JSON text."""


@dataclass(eq=False, slots=True)
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
    payload: bytes = field(repr=False)
    attempt: int
    max_retries: int
    timeout: float
    """Of this attempt, in seconds."""
    caller: str
    trace: TraceParent | None
    claim_no: int
    waited_ms: float
    metadata: Mapping[str, Any] | None = None
    """What its enqueuer gave it; a periodic job's says which tick it is."""
    tags: tuple[str, ...] = ()
    """What its enqueuer tagged it with."""
    deadline: float = 0.0
    """When the timeout strikes, on the clock of `time.monotonic`."""
    stop_reason: Stop | None = None
    task: asyncio.Task[None] | None = field(default=None, repr=False)
    interruptible: bool = False
    """Whether an async handler is at work, which a cancellation of the task reaches."""
    completed_in: bool = False
    """Whether the handler has completed it in a transaction of its own, committed or not."""
    home: Home | None = field(default=None, repr=False)
    _stopping: threading.Event | None = field(default=None, init=False, repr=False)

    @property
    def stopping(self) -> threading.Event:
        """Set when the job is to stop. A plain function in a thread has to look at it; an async one is cancelled.

        To leave work undone, raise: returning means that it is done.
        """
        with _stop_lock:
            if self._stopping is None:  # made for who asks: an event costs more than all else of a job
                self._stopping = threading.Event()
                if self.stop_reason is not None:
                    self._stopping.set()
            return self._stopping

    @property
    def traceparent(self) -> str | None:
        """The creation context's traceparent."""
        return self.trace.traceparent if self.trace else None

    @property
    def scheduled_at(self) -> datetime | None:
        """The tick that a periodic job was made for, which may be earlier than its start by any time; else None."""
        text = (self.metadata or {}).get("scheduled_at")
        return datetime.fromisoformat(text) if text else None

    @property
    def remaining(self) -> float:
        """The seconds until the timeout strikes, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def redact(self, secret: Message | Secret) -> None:
        """Keeps a value, or the redacted ones of a message, out of this attempt's errors, log lines and spans.

        The payload's own are hidden from the start. This is for what the handler gets hold of beside it: the address
        that a mail goes to, an answer from elsewhere. To be called within the handler, or a task or thread of it.
        """
        redact(secret)

    def report_progress(self, progress: Any) -> None:
        """Says how far the job has come, for those who look on: `Job.progress`. From any thread, and without waiting.

        The latest report is kept; it is written within about a second, and outlives the job's end.

        Args:
            progress: Any JSON value of up to 4 KiB, such as {"done": 70, "of": 200}.

        Raises:
            TypeError: The value is none of JSON's.
            ValueError: It is too large, or can't be stored.
        """
        assert self.home is not None
        self.home.report(self.id, self.lease, encoded(progress, what="the progress", limit=PROGRESS_LIMIT))

    async def complete_in_async(self, connection: AnyAsyncConnection, *, output: Any = None) -> None:
        """Completes the job in the transaction of a psycopg or SQLAlchemy connection or session; commits nothing.

        The job is completed exactly if the caller's transaction commits, together with the effects in it. It must be a
        transaction of the jobs database. Call it last: the job's row is locked until the commit. When the handler
        returns and the transaction was rolled back, the attempt has failed.

        Raises:
            LeaseLostError: The attempt no longer counts. The transaction is broken: committing it commits nothing.
            TypeError: The connection is of another kind, or the output is no JSON.
            ValueError: The output is too large, or can't be stored; or the connection is in autocommit mode and in no
                transaction, so that the effects have been committed already, or are to be, without the completion.
        """
        driver = await psycopg_async_connection(connection)
        self._require_transaction(driver)
        await run_async(driver, self._completion(output))

    def complete_in(self, connection: AnyConnection, *, output: Any = None) -> None:
        """The same, on a blocking connection or session, for handlers in threads and processes."""
        driver = psycopg_connection(connection)
        self._require_transaction(driver)
        run(driver, self._completion(output))

    def _require_transaction(self, driver: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
        if commits_each(driver):
            raise ValueError(
                f"job {self.id} can't be completed on a connection that commits each statement: open it without "
                "autocommit, or begin a transaction, and do the effects in it"
            )

    def _completion(self, output: Any) -> Plan[None]:
        assert self.home is not None
        text = None if output is None else encoded(output, what="the output", limit=OUTPUT_LIMIT)
        self.completed_in = True
        yield from completion(self.id, self.lease, text, self.home.schema)

    def stop(self, reason: Stop) -> None:
        """Tells the job to stop. To be called on the event loop.

        The first reason stands. Another one interrupts again an async handler that swallowed the first, or still tidies
        up after it; the same one, said twice, doesn't.
        """
        with _stop_lock:
            if self.stop_reason is reason:
                return
            if self.stop_reason is None:
                self.stop_reason = reason
                if self._stopping is not None:
                    self._stopping.set()
        if self.interruptible and self.task is not None:
            self.task.cancel()


_stop_lock = threading.Lock()
_current: ContextVar[RunningJob | None] = ContextVar("headrace_current_job", default=None)


def current_job() -> RunningJob | None:
    """The job that the calling code is a part of, None outside of handlers."""
    return _current.get()


def enter_job(job: RunningJob) -> None:
    """Makes a job the current one of the calling task. For the executor."""
    _current.set(job)
