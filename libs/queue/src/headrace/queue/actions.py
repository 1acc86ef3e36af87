"""What a person may do to many jobs at once: retry, cancel or delete all that match a filter.

In batches, from the newest job to the oldest, so that no lock is held for long; jobs that are enqueued meanwhile are
left alone. On a connection in autocommit mode each batch is a transaction of its own, and what is broken off can be
repeated.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.job import JobState
from headrace.queue.search import JobFilter, search
from headrace.queue.statements import DEFAULT_SCHEMA, statement

BATCH = 1000
RETRIED = (
    JobState.SCHEDULED,
    JobState.RETRYABLE,
    JobState.CANCELLED,
    JobState.DISCARDED,
    JobState.QUARANTINED,
)
CANCELLED = (JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRYABLE, JobState.RUNNING)
DELETED = tuple(state for state in JobState if state is not JobState.RUNNING)


@dataclass(frozen=True)
class Acted:
    """What was done."""

    matched: int
    """Jobs that the filter, and what can be done in a job's state, allowed for."""
    changed: int
    """Those that it was done to: none in a dry run; else all, but for jobs that changed in the same moment."""


async def retry_jobs(
    connection: AsyncConnection[Any], wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA
) -> Acted:
    """Puts jobs back into line with a fresh retry budget: those that wait for a time, or were set aside.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    return await _act(connection, "retry_jobs", wanted, RETRIED, dry_run=dry_run, schema=schema)


async def cancel_jobs(
    connection: AsyncConnection[Any], wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA
) -> Acted:
    """Cancels jobs: waiting ones at once, running ones through their workers.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    return await _act(connection, "cancel_jobs", wanted, CANCELLED, dry_run=dry_run, schema=schema)


async def delete_jobs(
    connection: AsyncConnection[Any], wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA
) -> Acted:
    """Deletes jobs, waiting ones as well, except those that run. Their idempotency keys stay.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    return await _act(connection, "delete_jobs", wanted, DELETED, dry_run=dry_run, schema=schema)


async def _act(
    connection: AsyncConnection[Any],
    name: str,
    wanted: JobFilter,
    possible: tuple[JobState, ...],
    *,
    dry_run: bool,
    schema: str,
) -> Acted:
    if wanted == JobFilter():
        raise ValueError("an empty filter means every job there is: name the states, if that is what is meant")
    states = tuple(state for state in possible if not wanted.states or state in wanted.states)
    if not states:
        return Acted(0, 0)
    matched = changed = 0
    before_id: int | None = None
    while True:
        found = await search(
            connection, replace(wanted, states=states), limit=BATCH, before_id=before_id, schema=schema
        )
        matched += len(found.ids)
        if found.ids and not dry_run:
            changed += (await connection.execute(statement(name, schema), {"ids": found.ids})).rowcount
        if found.before_id is None:
            return Acted(matched, changed)
        before_id = found.before_id
