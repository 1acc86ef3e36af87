"""The job that a handler runs, as the handler sees it."""

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

from headrace.queue.db.caller_connection import (
    AnyAsyncConnection,
    AnyConnection,
    commits_each,
    psycopg_async_connection,
    psycopg_connection,
)
from headrace.queue.db.jsonb import encoded
from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.db.transaction import Plan, run, run_async
from headrace.queue.execution.transactional_completion import completion
from headrace.queue.job import TraceParent
from headrace.queue.kinds.kind import Kind
from headrace.redaction import Secret, redact

if TYPE_CHECKING:
    from google.protobuf.message import Message

OUTPUT_LIMIT = 256 * 1024
PROGRESS_LIMIT = 4 * 1024
ReportProgress = Callable[[int, int, str], None]
"""Takes a report: the job's id, its lease, and the progress as JSON text."""


class Stop(Enum):
    """Why a running job has to stop."""

    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DRAINING = "draining"
    LEASE_LOST = "lease_lost"


def _ignore(job_id: int, lease: int, progress: str) -> None:
    """Takes the progress of a job that no worker runs, as in a test of a handler."""


@dataclass(eq=False, slots=True)
class RunningJob:
    """One attempt of a job, while it runs.

    `id` is the same on every attempt: use it to make effects elsewhere idempotent. `lease` grows with every attempt,
    and only the newest one counts: use (id, lease) to fence effects elsewhere.

    Fields that begin with an underscore are the engine's.
    """

    id: int
    lease: int
    kind: Kind
    queue: str
    version: int
    """The version of the kind that the payload was written in."""
    payload_bytes: bytes = field(repr=False)
    """The payload as it is stored, for fields that the message can't read any more."""
    attempt: int
    """Counts from 1."""
    max_retries: int
    timeout: float
    """Of this attempt, in seconds."""
    caller: str
    trace: TraceParent | None
    """The trace context that the job was enqueued in."""
    metadata: Mapping[str, Any] | None = None
    """What the caller enqueued it with. A periodic job's metadata contains its tick; see `scheduled_at`."""
    tags: tuple[str, ...] = ()
    _claim_no: int = field(default=0, repr=False)
    _waited_ms: float = field(default=0.0, repr=False)
    deadline: float = 0.0
    """When the timeout strikes, on the clock of `time.monotonic`."""
    stop_reason: Stop | None = None
    """Why the job has to stop; None as long as it may run."""
    _schema: str = field(default=DEFAULT_SCHEMA, repr=False)
    _report_progress: ReportProgress = field(default=_ignore, repr=False)
    _task: asyncio.Task[None] | None = field(default=None, repr=False)
    _interruptible: bool = field(default=False, repr=False)
    """Whether an async handler runs, which a cancellation of the task interrupts."""
    _completed_in: bool = field(default=False, repr=False)
    """Whether the handler has completed the job in its own transaction, committed or not."""
    _stop_event: threading.Event | None = field(default=None, init=False, repr=False)

    @property
    def stopping(self) -> threading.Event:
        """Set when the job has to stop. Check it in a thread; an async handler is cancelled.

        To stop before the work is finished, raise an exception. Returning means that the job is done.
        """
        with _stop_lock:
            if self._stop_event is None:  # created on demand: it would cost more than the rest of the job
                self._stop_event = threading.Event()
                if self.stop_reason is not None:
                    self._stop_event.set()
            return self._stop_event

    @property
    def traceparent(self) -> str | None:
        """The W3C traceparent of the trace context that the job was enqueued in."""
        return self.trace.traceparent if self.trace else None

    @property
    def scheduled_at(self) -> datetime | None:
        """The tick that a periodic job belongs to, however late it runs. None for other jobs."""
        text = (self.metadata or {}).get("scheduled_at")
        return datetime.fromisoformat(text) if text else None

    @property
    def remaining(self) -> float:
        """The seconds until the timeout strikes, at least 0."""
        return max(0.0, self.deadline - time.monotonic())

    def redact(self, secret: Message | Secret) -> None:
        """Keeps a value, or the redacted fields of a message, out of this attempt's errors, log lines and spans.

        The payload's own secrets are redacted already. Use it for what the handler obtains elsewhere, such as an
        address or a response. Call it in the handler, or in a task or thread that the handler started.
        """
        redact(secret)

    def report_progress(self, progress: Any) -> None:
        """Reports how far the job is; operators see it as `Job.progress`. Doesn't block. Callable from any thread.

        The latest report is kept. It is written within about a second, and stays after the job has ended.

        Args:
            progress: Any JSON value of up to 4 KiB, for example {"done": 70, "of": 200}.

        Raises:
            TypeError: The value is not JSON.
            ValueError: The value is too large, or can't be stored.
        """
        text = encoded(progress, what="the progress", limit=PROGRESS_LIMIT)
        self._report_progress(self.id, self.lease, text)

    async def complete_in_async(self, connection: AnyAsyncConnection, *, output: Any = None) -> None:
        """Completes the job in the transaction of a psycopg or SQLAlchemy connection or session; commits nothing.

        The job is completed exactly if the caller's transaction commits, together with its other effects. It must be a
        transaction of the jobs database. Call it last: the job's row is locked until the commit. If the handler returns
        and the transaction was rolled back, the attempt has failed.

        Raises:
            LeaseLostError: The attempt no longer counts. The transaction is aborted: committing it has no effect.
            TypeError: The connection is of another kind, or the output is not JSON.
            ValueError: The output is too large, or can't be stored; or the connection is in autocommit mode and in no
                transaction, so that the effects would be committed without the completion.
        """
        driver = await psycopg_async_connection(connection, "complete_in_async")
        self._require_transaction(driver)
        await run_async(driver, self._completion(output))

    def complete_in(self, connection: AnyConnection, *, output: Any = None) -> None:
        """Does the same on a blocking connection or session, for handlers in threads and processes."""
        driver = psycopg_connection(connection, "complete_in")
        self._require_transaction(driver)
        run(driver, self._completion(output))

    def _require_transaction(self, driver: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> None:
        if commits_each(driver):
            raise ValueError(
                f"job {self.id} can't be completed on a connection that commits each statement: open it without "
                "autocommit, or begin a transaction, and do the effects in it"
            )

    def _completion(self, output: Any) -> Plan[None]:
        text = None if output is None else encoded(output, what="the output", limit=OUTPUT_LIMIT)
        self._completed_in = True
        yield from completion(self.id, self.lease, text, self._schema)

    def _stop(self, reason: Stop) -> None:
        """Tells the job to stop. To be called on the event loop.

        The first reason stays. A second, different reason interrupts an async handler again that has swallowed the
        first one or is still cleaning up; the same reason doesn't.
        """
        with _stop_lock:
            if self.stop_reason is reason:
                return
            if self.stop_reason is None:
                self.stop_reason = reason
                if self._stop_event is not None:
                    self._stop_event.set()
        if self._interruptible and self._task is not None:
            self._task.cancel()


_stop_lock = threading.Lock()
_current: ContextVar[RunningJob | None] = ContextVar("headrace_current_job", default=None)


def current_job() -> RunningJob | None:
    """Returns the job that the calling code is a part of, or None outside of handlers."""
    return _current.get()


def enter_job(job: RunningJob) -> None:
    """Makes a job the current one of the calling task. For the executor."""
    _current.set(job)
