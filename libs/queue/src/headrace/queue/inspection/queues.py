"""Reads queues: which there are, their pauses, limits and retention, and how many jobs are available."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both
from headrace.queue.job import FINAL_STATES, Queue


def list_queues_plan(names: Sequence[str] | None = None, *, schema: str = DEFAULT_SCHEMA) -> Plan[list[Queue]]:
    """Returns queues by name: those with jobs, and those that were ever paused, limited or given a retention.

    The time it takes grows with the number of queues, not of jobs.

    Args:
        names: Only these queues. None: all.
        schema: The installation's schema.
    """
    params = {"names": None if names is None else list(names)}
    rows = yield Query(statement("list_queues", schema), params, alone=True)
    return [read_queue(row) for row in rows]


list_queues, list_queues_async = both(list_queues_plan)


def read_queue(row: Mapping[str, Any]) -> Queue:
    """Returns the queue of a row with the columns of queue_columns.sql."""
    kept = {state: row[f"keeps_{state}"] for state in sorted(FINAL_STATES)}
    retention = {state: time for state, time in kept.items() if time is not None}
    return Queue(row["name"], row["paused_at"], row["paused_by"], row["max_running"], retention)


def count_available_plan(queue: str, *, limit: int, schema: str = DEFAULT_SCHEMA) -> Plan[int]:
    """Returns how many jobs of a queue are available, counting at most `limit` of them.

    Scheduled and retryable jobs are not available before their time.
    """
    params = {"queue": queue, "limit": limit}
    [row] = yield Query(statement("count_available", schema), params, alone=True)
    jobs: int = row["jobs"]
    return jobs


count_available, count_available_async = both(count_available_plan)
