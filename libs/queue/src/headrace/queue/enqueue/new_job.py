"""What a caller enqueues, and how large it may be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headrace.queue.arguments import require_type
from headrace.queue.enqueue.uniqueness import Unique
from headrace.queue.job import TraceParent
from headrace.queue.value_class import value_class


@dataclass(frozen=True)
class Limits:
    """How large payloads and batches may be.

    Raises:
        ValueError: A limit is below 1.
        TypeError: A limit is not an int.
    """

    payload_bytes: int = 256 * 1024
    batch: int = 1000

    def __post_init__(self) -> None:
        """Rejects limits that nothing could meet."""
        require_type("limits", int, payload_bytes=self.payload_bytes, batch=self.batch)
        if self.payload_bytes < 1 or self.batch < 1:
            raise ValueError(f"limits: payload_bytes and batch must be at least 1; this is {self}")


@value_class
class NewJob:
    """A job to enqueue. What is None comes from its kind.

    Treat it as immutable, and use `dataclasses.replace` for another one. Type checkers report assignments.

    Args:
        payload: A protobuf message of a kind, an Any that holds one, or an instance of a class with `@job_kind`.
        caller: On behalf of whom it is enqueued. Each caller has its own idempotency keys.
        key: The idempotency key; empty for none. The same caller, kind and key identify one job for at least the
            enqueuer's key lifetime.
        queue: Up to 100 characters.
        priority: 1 (first) to 4 (last).
        max_retries: 0 to 1000.
        timeout: Of one attempt; up to 24 hours.
        run_at: The earliest time at which it may run, with a time zone. None, or a time in the past, means now.
        run_after: Or how long it waits after it was enqueued, by the database's clock. 0 or less means now.
        trace: The trace context of what caused it. None means the current OpenTelemetry span, if there is one.
        unique: Which other jobs it must not coexist with; None for any.
        tags: Up to 20 words to find it by, each of up to 100 characters.
        metadata: Whatever else to store with it: a JSON object of up to 16 KiB, which the engine does not interpret.
        version: The version of the kind that the payload was written in, if its writer may be of an earlier release
            than this process. Later versions are rejected. None means the kind's own.
    """

    payload: Any = field(repr=False)
    caller: str = ""
    key: str = ""
    queue: str | None = None
    priority: int | None = None
    max_retries: int | None = None
    timeout: timedelta | None = None
    run_at: datetime | None = None
    run_after: timedelta | None = field(default=None, kw_only=True)
    trace: TraceParent | None = None
    unique: Unique | None = None
    tags: Sequence[str] = ()
    metadata: Mapping[str, Any] | None = None
    version: int | None = None
