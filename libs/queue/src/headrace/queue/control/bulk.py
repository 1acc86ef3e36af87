"""Retries, cancels or deletes all jobs that match a filter.

Jobs are changed in batches, from the newest to the oldest, so that no lock is held for long. Jobs that are enqueued
meanwhile are left alone. On a connection in autocommit mode each batch is its own transaction, and a call that was
interrupted can be repeated; in a caller's transaction all batches belong to it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both
from headrace.queue.inspection.search import SCAN, Found, JobFilter, search
from headrace.queue.job import JobState

# How many jobs one statement locks.
BATCH = 1000
# How many jobs are searched for at once. A search locks nothing, and costs least per job when it finds many.
PAGE = SCAN


class Action(StrEnum):
    """What can be done to many jobs at once."""

    RETRY = "retry"
    """Makes jobs available now, with all their retries: those that wait for a time, or were set aside."""
    CANCEL = "cancel"
    """Cancels waiting jobs at once, and running jobs through their workers."""
    DELETE = "delete"
    """Deletes all jobs except running ones. Their idempotency keys are kept."""


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
"""The states of the jobs that each action can change."""


@dataclass(frozen=True)
class BulkResult:
    """How many jobs matched, and how many were changed."""

    matched: int
    """The jobs that match the filter and are in a state in which the action can change them."""
    changed: int
    """The jobs that were changed: none in a dry run, else all except those whose state changed at the same moment."""


def retry_jobs_plan(wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA) -> Plan[BulkResult]:
    """Makes jobs available now, with all their retries.

    It changes scheduled, retryable, cancelled, discarded and quarantined jobs.

    Args:
        wanted: Which jobs.
        dry_run: Whether to count the jobs only.
        schema: The installation's schema.

    Raises:
        ValueError: The filter is empty. To select all jobs, name all states.
    """
    return (yield from _change(Action.RETRY, wanted, dry_run=dry_run, schema=schema))


retry_jobs, retry_jobs_async = both(retry_jobs_plan)


def cancel_jobs_plan(wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA) -> Plan[BulkResult]:
    """Cancels waiting jobs at once, and running jobs through their workers.

    Args:
        wanted: Which jobs.
        dry_run: Whether to count the jobs only.
        schema: The installation's schema.

    Raises:
        ValueError: The filter is empty. To select all jobs, name all states.
    """
    return (yield from _change(Action.CANCEL, wanted, dry_run=dry_run, schema=schema))


cancel_jobs, cancel_jobs_async = both(cancel_jobs_plan)


def delete_jobs_plan(wanted: JobFilter, *, dry_run: bool = False, schema: str = DEFAULT_SCHEMA) -> Plan[BulkResult]:
    """Deletes all matching jobs except running ones. Their idempotency keys are kept.

    Args:
        wanted: Which jobs.
        dry_run: Whether to count the jobs only.
        schema: The installation's schema.

    Raises:
        ValueError: The filter is empty. To select all jobs, name all states.
    """
    return (yield from _change(Action.DELETE, wanted, dry_run=dry_run, schema=schema))


delete_jobs, delete_jobs_async = both(delete_jobs_plan)


def find_actionable_plan(
    action: Action,
    wanted: JobFilter,
    *,
    limit: int = PAGE,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> Plan[Found]:
    """Returns the next jobs that match and that the action can change: below `before_id`, at most `limit`.

    They may be few, or none, without being the last ones: see `Found.before_id`.

    Args:
        action: What is to be done to them.
        wanted: Which jobs.
        limit: The most jobs to return.
        before_id: Where to continue: the `before_id` of the jobs before.
        schema: The installation's schema.

    Raises:
        ValueError: The filter is empty. To select all jobs, name all states.
    """
    require_type("bulk actions", JobFilter, wanted=wanted)
    if wanted == JobFilter():
        raise ValueError("an empty filter would select every job: to do so on purpose, name all states")
    states = tuple(state for state in POSSIBLE[action] if not wanted.states or state in wanted.states)
    if not states:
        return Found([], None)
    filtered = replace(wanted, states=states)
    return (yield from search(filtered, limit=limit, before_id=before_id, schema=schema))


find_actionable, find_actionable_async = both(find_actionable_plan)


def act_on_plan(action: Action, ids: Sequence[int], *, schema: str = DEFAULT_SCHEMA) -> Plan[int]:
    """Changes these jobs in one statement, which locks them. Returns how many were changed.

    Jobs that the action can't change in their state, or that were deleted, are left out.
    """
    return len((yield Query(statement(f"{action}_jobs", schema), {"ids": list(ids)}, alone=True)))


act_on, act_on_async = both(act_on_plan)


def batches(ids: Sequence[int]) -> Iterator[Sequence[int]]:
    """Splits jobs into batches, each for one transaction."""
    for begin in range(0, len(ids), BATCH):
        yield ids[begin : begin + BATCH]


def _change(action: Action, wanted: JobFilter, *, dry_run: bool, schema: str) -> Plan[BulkResult]:
    matched = changed = 0
    before_id: int | None = None
    while True:
        # The statements of a search are `alone`, so in autocommit mode each batch below commits by itself.
        found = yield from find_actionable_plan(action, wanted, before_id=before_id, schema=schema)
        matched += len(found.ids)
        for ids in batches(found.ids) if not dry_run else ():
            changed += yield from act_on_plan(action, ids, schema=schema)
        if found.before_id is None:
            return BulkResult(matched, changed)
        before_id = found.before_id
