"""Reading queues: which there are, and what was said about them. What a person may do to them is in control.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.db.statements import DEFAULT_SCHEMA, rows
from headrace.queue.job import FINAL_STATES, Queue


async def list_queues(
    connection: AsyncConnection[Any], names: Sequence[str] | None = None, *, schema: str = DEFAULT_SCHEMA
) -> list[Queue]:
    """Queues by name: those that jobs stand in, and those that were ever paused, limited or given a retention.

    Takes as long as queues are many, not jobs.

    Args:
        connection: In a transaction or not.
        names: Only these of them; None for all.
        schema: The installation's schema.
    """
    params = {"names": None if names is None else list(names)}
    return [read_queue(row) for row in await rows(connection, "list_queues", params, schema=schema)]


def read_queue(row: Mapping[str, Any]) -> Queue:
    """The queue of a row with queue_columns.sql."""
    kept = {state: row[f"keeps_{state}"] for state in sorted(FINAL_STATES)}
    retention = {state: time for state, time in kept.items() if time is not None}
    return Queue(row["name"], row["paused_at"], row["paused_by"], row["max_running"], retention)


async def count_available(
    connection: AsyncConnection[Any], queue: str, *, limit: int, schema: str = DEFAULT_SCHEMA
) -> int:
    """How many jobs of a queue stand in line (are available), but at most `limit`: it doesn't look any further.

    Scheduled and retryable jobs are not in line before their time.
    """
    [row] = await rows(connection, "count_available", {"queue": queue, "limit": limit}, schema=schema)
    jobs: int = row["jobs"]
    return jobs
