"""What is asked of the door, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from headrace.queue.arguments import require_type
from headrace.queue.enqueue.uniqueness import Unique
from headrace.queue.job import TraceParent


@dataclass(frozen=True)
class Limits:
    """How large things may be.

    Raises:
        ValueError: One is below 1.
        TypeError: One is no number.
    """

    payload_bytes: int = 256 * 1024
    batch: int = 1000

    def __post_init__(self) -> None:
        """Refuses what nothing could pass."""
        require_type("limits", int, payload_bytes=self.payload_bytes, batch=self.batch)
        if self.payload_bytes < 1 or self.batch < 1:
            raise ValueError(f"limits: payload_bytes and batch must be at least 1; this is {self}")


@dataclass(frozen=True)
class NewJob:
    """A job to be accepted. What is None comes from its kind.

    Args:
        payload: A protobuf message of a kind, an Any that holds one, or an instance of a class with `@job_kind`.
        caller: Who wants it; idempotency keys are each caller's own.
        key: The idempotency key; empty for none. The same caller, kind and key stand for one job for at
            least the door's key lifetime.
        queue: Up to 100 characters.
        priority: 1 (first) to 4 (last).
        max_retries: 0 to 1000.
        timeout: Of one attempt; up to 24 hours.
        run_at: When it may run, with a time zone. None, or a time that has passed, means now.
        run_after: Or how long it is to wait from the moment it is accepted, by the database's clock; 0 or less means
            now.
        trace: What caused it. None means the current OpenTelemetry span, if there is one.
        unique: Which other jobs it must not be beside; None for any.
        tags: Up to 20 words to find it by, each of up to 100 characters.
        metadata: What else is to be kept with it: a JSON object of up to 16 KiB. No handler needs it.
        version: The version of the kind that the payload was written in, where its writer may be of another release
            than this process: an earlier one, since the door lets no later one in. None: the kind's.
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
