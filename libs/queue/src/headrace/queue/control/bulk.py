"""What a person may do to many jobs at once: retry, cancel or delete all that match a filter.

In batches, from the newest job to the oldest, so that no lock is held for long; jobs that are enqueued meanwhile are
left alone. On a connection in autocommit mode each batch is a transaction of its own, and what is broken off can be
repeated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.inspection.search import SCAN, Found, JobFilter, search
from headrace.queue.job import JobState

# Jobs that are locked by one statement.
BATCH = 1000
# Jobs that are looked for at once: that locks nothing, and costs the least by the job when it is many.
LOOK = SCAN


class Action(StrEnum):
    """What can be done to many jobs."""

    RETRY = "retry"
    """Back into line with a fresh retry budget: those that wait for a time, or were set aside."""
    CANCEL = "cancel"
    """Waiting ones at once, running ones through their workers."""
    DELETE = "delete"
    """Waiting ones as well, except those that run. Their idempotency keys stay."""


POSSIBLE: Mapping[Action, tuple[JobState, ...]] = {
    Action.RETRY: (
        JobState.SCHEDULED,
        JobState.RETRYABLE,
        JobState.CANCELLED,
        JobState.DISCARDED,
        JobState.QUARANTINED,
    ),
    Action.CANCEL: (JobState.SCHEDULED, JobState.AVAILABLE, JobState.RETRYABLE, JobState.RUNNING),
    Action.DELETE: tuple(state for state in JobState if state is not JobState.RUNNING),
}
"""The states in which a job can be acted on."""


@dataclass(frozen=True)
class BulkResult:
    """What was done."""

    matched: int
    """Jobs that the filter, and what can be done in a job's state, allowed for."""
    changed: int
    """Those that it was done to: none in a dry run; else all, but for jobs that changed in the same moment."""


async def retry_jobs(
    connection: AsyncConnection[Any], wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA
) -> BulkResult:
    """Puts jobs back into line with a fresh retry budget: those that wait for a time, or were set aside.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    return await _act(connection, Action.RETRY, wanted, dry_run=dry_run, schema=schema)


async def cancel_jobs(
    connection: AsyncConnection[Any], wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA
) -> BulkResult:
    """Cancels jobs: waiting ones at once, running ones through their workers.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    return await _act(connection, Action.CANCEL, wanted, dry_run=dry_run, schema=schema)


async def delete_jobs(
    connection: AsyncConnection[Any], wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA
) -> BulkResult:
    """Deletes jobs, waiting ones as well, except those that run. Their idempotency keys stay.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    return await _act(connection, Action.DELETE, wanted, dry_run=dry_run, schema=schema)


async def find_actionable(
    connection: AsyncConnection[Any],
    action: Action,
    wanted: JobFilter,
    *,
    limit: int = LOOK,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> Found:
    """The next jobs that match and are in a state in which they can be acted on: below `before_id`, at most `limit`.

    They may be few, or none, and still not be the last ones: see `Found.before_id`.

    Raises:
        ValueError: The filter is empty. To mean all jobs, name their states.
    """
    require_type("bulk actions", JobFilter, wanted=wanted)
    if wanted == JobFilter():
        raise ValueError("an empty filter means every job there is: name the states, if that is what is meant")
    states = tuple(state for state in POSSIBLE[action] if not wanted.states or state in wanted.states)
    if not states:
        return Found([], None)
    return await search(connection, replace(wanted, states=states), limit=limit, before_id=before_id, schema=schema)


async def act_on(
    connection: AsyncConnection[Any], action: Action, ids: Sequence[int], *, schema: str = DEFAULT_SCHEMA
) -> int:
    """Acts on these jobs in one statement, which locks them; answers how many it was done to.

    Jobs that can't be acted on in the state that they are in, or that are gone, are left out.
    """
    return (await connection.execute(statement(f"{action}_jobs", schema), {"ids": list(ids)})).rowcount


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Jobs in such numbers as are acted on in one transaction."""
    for begin in range(0, len(ids), BATCH):
        yield ids[begin : begin + BATCH]


async def _act(
    connection: AsyncConnection[Any], action: Action, wanted: JobFilter, *, dry_run: bool, schema: str
) -> BulkResult:
    matched = changed = 0
    before_id: int | None = None
    while True:
        found = await find_actionable(connection, action, wanted, before_id=before_id, schema=schema)
        matched += len(found.ids)
        for ids in batches(found.ids) if not dry_run else ():
            changed += await act_on(connection, action, ids, schema=schema)
        if found.before_id is None:
            return BulkResult(matched, changed)
        before_id = found.before_id
