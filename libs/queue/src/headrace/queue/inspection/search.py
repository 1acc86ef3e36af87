"""Finds the jobs that match a filter, newest first, in bounded steps.

Each filter has an index that suits it best. A step reads a bounded number of entries and returns how far it has come,
so that none takes long, however rare the matching jobs are.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query, Row
from headrace.queue.job import JobState

MAX_ID = 2**63 - 1
# How many jobs a step reads at most, which takes about 20 ms.
SCAN = 20_000
# A first, shorter step reads this many jobs for each one that is wanted: usually that fills the page.
FIRST_SCAN = 4
# By how much the order of ids and the order of times may differ.
DISORDER = timedelta(minutes=1)
# No job is outside of these times, and DISORDER can be added to them without overflow.
EARLIEST, LATEST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)
# States without an index: completed jobs are most of the table, and no job is pending yet.
UNMARKED = frozenset({JobState.COMPLETED, JobState.PENDING})


@dataclass(frozen=True)
class JobFilter:
    """Selects the jobs that meet every condition. An empty tuple, or None, is not a condition.

    Args:
        states: The job is in one of these states.
        kinds: It is of one of these kinds.
        queues: It is in one of these queues.
        tags: It has all of these tags.
        created_after: It was enqueued at this time or later. The time has a time zone.
        created_before: It was enqueued before this time. The time has a time zone.

    Raises:
        TypeError: An argument is of the wrong type, for example one string instead of a tuple of strings.
        ValueError: A state does not exist, or a time has no time zone.
    """

    states: tuple[JobState, ...] = ()
    kinds: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None

    def __post_init__(self) -> None:
        """Rejects arguments that would silently match no job, or every job. Lists and sets become tuples."""
        for name in ("states", "kinds", "queues", "tags"):
            given = getattr(self, name)
            if isinstance(given, str) or not isinstance(given, Collection):
                raise TypeError(f"job filter: {name} must be a tuple of strings, not {given!r}")
            require_type("job filter", str, **{f"{name}[{place}]": word for place, word in enumerate(given)})
            object.__setattr__(self, name, tuple(given))
        if unknown := [state for state in self.states if state not in set(JobState)]:
            raise ValueError(f"job filter: {', '.join(unknown)} is not a state; the states are {', '.join(JobState)}")
        for name, time in (("created_after", self.created_after), ("created_before", self.created_before)):
            if time is not None:
                require_type("job filter", datetime, **{name: time})
                if time.tzinfo is None:
                    raise ValueError(f"job filter: {name} must have a time zone, such as datetime.now(UTC); not {time}")

    def params(self) -> dict[str, Any]:
        """Returns the parameters of matching.sql."""
        return {
            "states": [str(state) for state in self.states] or None,
            "kinds": list(self.kinds) or None,
            "queues": list(self.queues) or None,
            "tags": list(self.tags) or None,
            "created_after": self.created_after,
            "created_before": self.created_before,
        }

    def way(self, *, by_state: bool = True, by_tag: bool = True) -> str:
        """Returns the name of the statement that reads the best index for the filter, out of the indexes allowed."""
        if by_state and self.states and not UNMARKED & set(self.states):
            return "search_by_state"
        if by_tag and self.tags:
            return "search_by_tag"
        return "search_by_queue_and_kind" if self.kinds or self.queues else "search_all"


@dataclass(frozen=True)
class Found:
    """The ids of jobs that match a filter, newest first."""

    ids: list[int]
    before_id: int | None
    """Where to continue. None: there are no more."""


def search(wanted: JobFilter, *, limit: int, before_id: int | None, schema: str) -> Plan[Found]:
    """Returns up to `limit` jobs below `before_id`: fewer, or none, where a step's bound was reached first."""
    before = MAX_ID if before_id is None else min(before_id, MAX_ID)
    lowest = 0
    if wanted.created_after is not None:
        lowest = yield from _id_at(max(wanted.created_after, EARLIEST) - DISORDER, schema)
    if wanted.created_before is not None:
        before = min(before, (yield from _id_at(min(wanted.created_before, LATEST) + DISORDER, schema)))
    params = {**wanted.params(), "limit": limit, "before": before, "from": lowest}
    way = wanted.way()
    if way == "search_by_state" and (yield from _is_crowded(wanted, schema)):
        way = wanted.way(by_state=False)
    if way == "search_by_tag" and (yield from _expected(params, schema)) > SCAN:
        # The index of tags is unordered: all jobs with these tags would be read to find the newest. With so many of
        # them, walking back from the newest job finds a page sooner.
        way = wanted.way(by_state=False, by_tag=False)
    # The index of states is read state by state.
    most = SCAN // len(wanted.states) if way == "search_by_state" else SCAN
    row: Row = {}
    for scan in dict.fromkeys((min(limit * FIRST_SCAN, most), most)):
        row = yield from _one(way, {**params, "scan": scan}, schema)
        if len(row["ids"]) == limit or not row["floor"]:
            break
    ids: list[int] = row["ids"]
    return Found(ids, ids[-1] if len(ids) == limit else row["floor"] or None)


def _is_crowded(wanted: JobFilter, schema: str) -> Plan[bool]:
    """Returns whether the small indexes of live jobs have grown large: they are unordered, so they are read whole."""
    params = {
        "available": JobState.AVAILABLE in wanted.states,
        "waiting": bool({JobState.SCHEDULED, JobState.RETRYABLE} & set(wanted.states)),
        "scan": SCAN,
    }
    if not (params["available"] or params["waiting"]):
        return False
    row = yield from _one("is_crowded", params, schema)
    return bool(row["is_crowded"])


def _id_at(at: datetime, schema: str) -> Plan[int]:
    row = yield from _one("id_at", {"at": at}, schema)
    found: int = row["id"]
    return found


def _expected(params: dict[str, Any], schema: str) -> Plan[float]:
    row = yield from _one("expect_tagged", params, schema)
    [[plan]] = row.values()
    expected: float = plan["Plan"]["Plan Rows"]
    return expected


def _one(name: str, params: dict[str, Any], schema: str) -> Plan[Row]:
    """Returns the single row of a statement that only reads."""
    [row] = yield Query(statement(name, schema), params, alone=True)
    return row
