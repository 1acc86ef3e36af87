"""Enqueues in bulk: streams jobs by COPY, with the same checks and the same values as insert_jobs.sql."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from headrace.queue import tracing
from headrace.queue.db.binary_copy import (
    HEADER,
    NULL,
    TRAILER,
    blob,
    int2,
    int4,
    int8,
    jsonb,
    row_start,
    text,
    text_array,
    timestamptz,
)
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import CopyIn, Plan, Query
from headrace.queue.enqueue.new_job import NewJob
from headrace.queue.enqueue.validation import MILLISECOND, RowOptions, ValidatedJob
from headrace.queue.errors import EnqueueError, OptionInvalidError, Violation
from headrace.queue.job import JobState, TraceParent

COLUMNS = 18
# Rows are sent in blocks of about this size. Larger ones save no more time.
BLOCK_BYTES = 64 * 1024
Validate = Callable[[NewJob], ValidatedJob | EnqueueError]


def copy_jobs(jobs: Iterable[NewJob], validate: Validate, schema: str) -> Plan[int]:
    """Validates and streams jobs, wakes the workers of their queues at commit, and returns how many there were.

    Raises:
        EnqueueError: A job is rejected; a note says which. This aborts the COPY, and thereby the transaction.
    """
    [entry] = yield Query(statement("enter_line", schema), {})
    rows = _Rows(jobs, validate, int(entry["xid"]), entry["at"])
    yield CopyIn(statement("copy_jobs", schema), rows)
    yield Query(statement("wake_queues", schema), {"queues": sorted(rows.woken)})
    return rows.count


class _Rows:
    """The rows of a COPY. What jobs have in common is encoded once."""

    def __init__(self, jobs: Iterable[NewJob], validate: Validate, xid: int, now: datetime) -> None:
        self._jobs = jobs
        self._validate = validate
        self._now = now
        self._created_at = timestamptz(now)
        self._available = self._created_at + int8(xid) + self._created_at + NULL
        self._starts: dict[RowOptions, bytes] = {}
        self._trace = _trace(tracing.current())
        self._plain = text("") + self._trace + NULL + NULL
        self.count = 0
        self.woken: set[str] = set()
        """The queues in which a job is available."""

    def __iter__(self) -> Iterator[bytes]:
        """Returns the stream in blocks."""
        block, size = [HEADER], 0
        for job in self._jobs:
            row = self._row(job)
            block.append(row)
            size += len(row)
            if size > BLOCK_BYTES:
                yield b"".join(block)
                block, size = [], 0
        yield b"".join(block) + TRAILER

    def _row(self, job: NewJob) -> bytes:
        self.count += 1
        item = self._validate(job)
        if not isinstance(item, ValidatedJob):
            raise self._noted(item)
        if job.key or job.unique:
            raise self._noted(OptionInvalidError([*_unavailable(job)]))
        if job.run_at is None and job.run_after is None:
            start = self._starts.get(item.options) or self._start(item.options)
        else:
            start = self._start_of_delayed(item)
        if job.caller == "" and job.trace is None and job.metadata is None and job.tags == ():
            return start + self._plain + blob(item.payload)
        return start + self._own(item) + blob(item.payload)

    def _start(self, options: RowOptions) -> bytes:
        """Returns the first columns of available jobs with these options."""
        self.woken.add(options.queue)
        start = self._starts[options] = _start(JobState.AVAILABLE, self._available, options)
        return start

    def _start_of_delayed(self, item: ValidatedJob) -> bytes:
        delay = item.delay_ms
        due_at = item.job.run_at if delay is None else self._now + delay * MILLISECOND
        if due_at is None or due_at <= self._now:
            return self._starts.get(item.options) or self._start(item.options)
        return _start(JobState.SCHEDULED, self._created_at + NULL + NULL + timestamptz(due_at), item.options)

    def _own(self, item: ValidatedJob) -> bytes:
        """Returns the columns that few jobs of a stream have in common."""
        job = item.job
        return b"".join(
            (
                text(job.caller),
                _trace(job.trace) if job.trace else self._trace,
                text_array(job.tags) if job.tags else NULL,
                NULL if item.metadata is None else jsonb(item.metadata),
            )
        )

    def _noted(self, error: EnqueueError) -> EnqueueError:
        error.add_note(f"in the bulk's job number {self.count}")
        return error


def _start(state: JobState, times: bytes, options: RowOptions) -> bytes:
    return b"".join(
        (
            row_start(COLUMNS),
            text(state.value),
            times,
            text(options.queue),
            text(options.kind),
            int2(options.version),
            int2(options.priority),
            int2(options.max_retries),
            int4(options.timeout_ms),
        )
    )


def _trace(given: TraceParent) -> bytes:
    trace = tracing.sound(given)
    return b"".join(text(value) if value else NULL for value in (trace.traceparent, trace.tracestate, trace.baggage))


def _unavailable(job: NewJob) -> Iterator[Violation]:
    for field, value in (("idempotency_key", job.key), ("unique", job.unique)):
        if value:
            yield Violation(field, "can't be looked up in a bulk: use enqueue_many for jobs that have one")
