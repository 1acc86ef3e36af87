"""What the transaction of a test has enqueued: typed messages, with the options that they were given."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar

from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query
from headrace.queue.job import JobState
from headrace.queue.kinds.kind import Kinds

Payload = TypeVar("Payload")


@dataclass(frozen=True)
class EnqueuedJob(Generic[Payload]):
    """A job that was enqueued, with the values in force: the call's, or else its kind's."""

    message: Payload
    id: int
    state: JobState
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta
    run_at: datetime | None
    """The time that it waits for; None when it doesn't."""
    caller: str
    key: str
    """Its idempotency key; empty when it has none."""
    tags: list[str]
    metadata: dict[str, Any] | None


def enqueued(kinds: Kinds, message_classes: Sequence[type[Payload]], schema: str) -> Plan[list[EnqueuedJob[Payload]]]:
    """The statement that reads them.

    Raises:
        KindUnknownError: One is of none of the kinds.
    """
    wanted = [kinds.of(each).name for each in message_classes] or None
    rows = yield Query(statement("enqueued", schema), {"kinds": wanted})
    return [
        EnqueuedJob(
            message=kinds[row["kind"]].codec.decode(row["payload"]),
            id=row["id"],
            state=JobState(row["state"]),
            queue=row["queue"],
            priority=row["priority"],
            max_retries=row["max_retries"],
            timeout=timedelta(milliseconds=row["timeout_ms"]),
            run_at=row["due_at"],
            caller=row["caller"],
            key=row["key"] or "",
            tags=row["tags"] or [],
            metadata=row["metadata"],
        )
        for row in rows
    ]
