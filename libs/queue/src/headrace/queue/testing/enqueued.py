"""Reads what the transaction of a test has enqueued: typed payloads, with the options that are in force."""

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
    """An enqueued job with the options in force: those of the call, else those of its kind."""

    payload: Payload
    id: int
    state: JobState
    queue: str
    priority: int
    max_retries: int
    timeout: timedelta
    run_at: datetime | None
    """When it becomes available; None if it is available at once."""
    caller: str
    key: str
    """Its idempotency key; empty if it has none."""
    tags: list[str]
    metadata: dict[str, Any] | None


def enqueued(kinds: Kinds, payload_classes: Sequence[type[Payload]], schema: str) -> Plan[list[EnqueuedJob[Payload]]]:
    """Returns the jobs that the current transaction has enqueued, of these classes or of all.

    Raises:
        KindUnknownError: A class or a job is not of a known kind.
    """
    wanted = [kinds.of(each).name for each in payload_classes] or None
    rows = yield Query(statement("enqueued", schema), {"kinds": wanted})
    return [
        EnqueuedJob(
            payload=kinds[row["kind"]].codec.decode(row["payload"]),
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
