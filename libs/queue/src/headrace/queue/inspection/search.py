"""Finds the jobs that match a filter, newest first, a bounded piece of work at a time.

Each filter has the index that knows its jobs best. A look goes through a bounded number of them and says how far it has
come, so that nothing takes long, however rare the jobs are that one looks for.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import rows
from headrace.queue.job import JobState

MAX_ID = 2**63 - 1
# Jobs that a look goes through at most: some 20 ms.
SCAN = 20_000
# Mostly a page is full long before that.
FIRST_SCAN = 4
# By how much the order of ids and the order of times may differ.
DISORDER = timedelta(minutes=1)
# Beyond these there is no room for that, and no job.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
# States that no index knows of: completed jobs are most of the table, and nothing makes pending ones yet.
UNMARKED = frozenset({JobState.COMPLETED, JobState.PENDING})


@dataclass(frozen=True)
class JobFilter:
    """Which jobs: those that meet every condition. An empty tuple, or None, asks nothing.

    Args:
        states: In one of these states.
        kinds: Of one of these kinds.
        queues: In one of these queues.
        tags: With all of these tags.
        created_after: Enqueued at this time or later; with a time zone.
        created_before: Enqueued before this time; with a time zone.

    Raises:
        TypeError: Something is of another type, such as one word in the place of a tuple of words.
        ValueError: There is no such state, or a time has no time zone.
    """

    states: tuple[JobState, ...] = ()
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        """Refuses what would quietly match nothing, or everything. Lists and sets become tuples."""
        for name in ("states", "kinds", "queues", "tags"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Collection):
                raise TypeError(f"job filter: {name} must be a tuple of words, not {given!r}")
            require_type("job filter", str, **{f"{name}[{place}]": word for place, word in enumerate(given)})
            object.__setattr__(self, name, tuple(given))
        if unknown := [state for state in self.states if state not in set(JobState)]:
            raise ValueError(f"job filter: no such state as {', '.join(unknown)}; there are {', '.join(JobState)}")
        for name, time in (("created_after", self.created_after), ("created_before", self.created_before)):
            if time is not None:
                require_type("job filter", datetime, **{name: time})
                if time.tzinfo is None:
                    raise ValueError(f"job filter: {name} must have a time zone, such as datetime.now(UTC); not {time}")

    def params(self) -> dict[str, Any]:
        """As parameters of matching.sql."""
        return {
            "states": [str(state) for state in self.states] or None,
            "kinds": list(self.kinds) or None,
            "queues": list(self.queues) or None,
            "tags": list(self.tags) or None,
            "created_after": self.created_after,
            "created_before": self.created_before,
        }

    def way(self, *, by_state: bool = True, by_tag: bool = True) -> str:
        """The statement that reads the best index for it, but for those that are of no use here."""
        if by_state and self.states and not UNMARKED & set(self.states):
            return "search_by_state"
        if by_tag and self.tags:
            return "search_by_tag"
        return "search_by_queue_and_kind" if self.kinds or self.queues else "search_all"


@dataclass(frozen=True)
class Found:
    """The ids of jobs that match, newest first."""

    ids: list[int]
    before_id: int | None
    """From where to go on; None when there are no more."""


async def search(
    connection: AsyncConnection[Any], wanted: JobFilter, *, limit: int, before_id: int | None, schema: str
) -> Found:
    """Up to `limit` jobs below `before_id`; fewer, or none, also when the bound of a look was reached before."""
    before = MAX_ID if before_id is None else min(before_id, MAX_ID)
    lowest = 0
    if wanted.created_after is not None:
        lowest = await _id_at(connection, max(wanted.created_after, EARLIEST) - DISORDER, schema)
    if wanted.created_before is not None:
        before = min(before, await _id_at(connection, min(wanted.created_before, LATEST) + DISORDER, schema))
    params = {**wanted.params(), "limit": limit, "before": before, "from": lowest}
    way = wanted.way()
    if way == "search_by_state" and await _is_crowded(connection, wanted, schema):
        way = wanted.way(by_state=False)
    if way == "search_by_tag" and await _expected(connection, params, schema) > SCAN:
        # The index of tags knows no order: all jobs with these would be read for the newest. Walking finds those soon.
        way = wanted.way(by_state=False, by_tag=False)
    # Each state is looked at by itself.
    most = SCAN // len(wanted.states) if way == "search_by_state" else SCAN
    row: dict[str, Any] = {}
    for scan in dict.fromkeys((min(limit * FIRST_SCAN, most), most)):
        row = await _one(connection, way, {**params, "scan": scan}, schema)
        if len(row["ids"]) == limit or not row["floor"]:
            break
    ids: list[int] = row["ids"]
    return Found(ids, ids[-1] if len(ids) == limit else row["floor"] or None)


async def _is_crowded(connection: AsyncConnection[Any], wanted: JobFilter, schema: str) -> bool:
    """Whether the small indexes of live jobs are small no longer: they are in no order that a look could stop in."""
    params = {
        "in_line": JobState.AVAILABLE in wanted.states,
        "waiting": bool({JobState.SCHEDULED, JobState.RETRYABLE} & set(wanted.states)),
        "scan": SCAN,
    }
    if not (params["in_line"] or params["waiting"]):
        return False
    return bool((await _one(connection, "is_crowded", params, schema))["is_crowded"])


async def _id_at(connection: AsyncConnection[Any], at: datetime, schema: str) -> int:
    found: int = (await _one(connection, "id_at", {"at": at}, schema))["id"]
    return found


async def _expected(connection: AsyncConnection[Any], params: dict[str, Any], schema: str) -> float:
    [[plan]] = (await _one(connection, "expect_tagged", params, schema)).values()
    expected: float = plan["Plan"]["Plan Rows"]
    return expected


async def _one(connection: AsyncConnection[Any], name: str, params: dict[str, Any], schema: str) -> dict[str, Any]:
    [row] = await rows(connection, name, params, schema=schema)
    return row
