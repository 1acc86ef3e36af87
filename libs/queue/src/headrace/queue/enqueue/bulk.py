"""The door's way for bulk: jobs are streamed by COPY, each row as the insert statement would write it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from headrace.queue import tracing
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import CopyIn, Plan, Query
from headrace.queue.enqueue.new_job import Limits, NewJob
from headrace.queue.enqueue.validation import MILLISECOND, ValidatedJob, validate
from headrace.queue.errors import EnqueueError, OptionInvalidError, Violation
from headrace.queue.job import JobState
from headrace.queue.kinds.kind import Kinds

# As the columns stand in copy_jobs.sql. An enum travels as text, and a transaction's number as any other one.
TYPES = (
    *("text", "timestamptz", "int8", "timestamptz", "timestamptz"),
    *("text", "text", "int2", "int2", "int2", "int4", "text"),
    *("text", "text", "text", "bytea", "text[]", "jsonb"),
)


def copy_jobs(jobs: Iterable[NewJob], kinds: Kinds, limits: Limits, schema: str) -> Plan[int]:
    """Checks and streams jobs, and wakes the workers of their queues at commit; answers how many there were.

    Raises:
        EnqueueError: One of the jobs is; a note says which. It ends the COPY, and so breaks the transaction.
    """
    [entry] = yield Query(statement("enter_line", schema), {})
    stream = _Stream(jobs, kinds, limits, int(entry["xid"]), entry["at"])
    yield CopyIn(statement("copy_jobs", schema), TYPES, stream)
    yield Query(statement("wake_queues", schema), {"queues": sorted(stream.woken)})
    return stream.count


class _Stream:
    """The rows, in the order of the columns, and what is left to know when they have gone by."""

    def __init__(self, jobs: Iterable[NewJob], kinds: Kinds, limits: Limits, xid: int, at: datetime) -> None:
        self._jobs = jobs
        self._kinds = kinds
        self._limits = limits
        self._xid = xid
        self._at = at
        self._trace = tracing.sound(tracing.current())
        self.count = 0
        self.woken: set[str] = set()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        for job in self._jobs:
            try:
                checked = validate(job, self._kinds, self._limits)
                if violations := list(_only_for_accept(job)):
                    raise OptionInvalidError(violations)
            except EnqueueError as refused:
                refused.add_note(f"in the bulk's job number {self.count + 1}")
                raise
            self.count += 1
            yield self._row(checked)

    def _row(self, item: ValidatedJob) -> tuple[Any, ...]:
        job = item.job
        due_at = job.run_at if item.delay_ms is None else self._at + item.delay_ms * MILLISECOND
        waits = due_at is not None and due_at > self._at
        if not waits:
            self.woken.add(item.queue)
        trace = tracing.sound(job.trace) if job.trace else self._trace
        return (
            JobState.SCHEDULED.value if waits else JobState.AVAILABLE.value,
            self._at,
            None if waits else self._xid,
            None if waits else self._at,
            due_at if waits else None,
            item.queue,
            item.name,
            item.version,
            item.priority,
            item.max_retries,
            item.timeout_ms,
            job.caller,
            trace.traceparent or None,
            trace.tracestate or None,
            trace.baggage or None,
            item.payload,
            list(job.tags) or None,
            None if job.metadata is None else dict(job.metadata),
        )


def _only_for_accept(job: NewJob) -> Iterator[Violation]:
    for field, value in (("idempotency_key", job.key), ("unique", job.unique)):
        if value:
            yield Violation(field, "can't be looked up in a bulk: use enqueue_many for jobs that have one")
