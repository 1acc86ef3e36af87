"""A worker's position in a queue's index of available jobs: exact, and in memory only.

Claimed jobs leave dead entries in the index, which stay while any transaction holds vacuum back. The cursor keeps the
next claim from reading them again: per priority, it is the key of the last job claimed. Transactions that were in
progress when the cursor passed their keys are remembered in `open`, and their rows are read by equality once they have
ended. So no committed job is missed, with one exception, which a sweep finds: a job whose row was locked when the
cursor passed it, by a claim of another worker that was then rolled back.

The rule, for a claim with snapshot S: the cursor never passes the xmax of S. A key below it then belongs to a job that
was claimed, or to a transaction that was in progress in S and is remembered. PgQ's tick snapshots work the same way.

docs/internals/claiming.md works an example through.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.queue.db.array_literals import numbers

PRIORITIES = (1, 2, 3, 4)
# How many full claims start with the highest priority before one starts with a lower priority.
FIRST_TURNS = 7
LAST_XID = 2**64 - 1
_FIRST_STEP = 10_000
_LONGEST_STEP = 2**40


@dataclass(frozen=True)
class Mark:
    """What a claim reports besides its jobs: where it read, and under which snapshot."""

    xmax: int
    in_progress: frozenset[int]
    late: int
    fresh: int
    last: tuple[int, int, int] | None
    """Priority, transaction and id of the last job claimed that the claim's snapshot could see."""
    limit: int
    """How many jobs it could have claimed: its limit, or the room that the queue's own limit left."""
    priorities: tuple[int, ...] = PRIORITIES
    """The priorities in the order in which it read them."""
    resumes: int = 0
    """How often kinds have been resumed. When it grows, jobs may be behind every cursor."""

    @property
    def full(self) -> bool:
        """Whether there may be more jobs to claim."""
        return self.late + self.fresh >= self.limit

    @classmethod
    def parse(cls, mark: dict[str, Any]) -> Mark | None:
        """Returns the mark of claim.sql; None if nothing may be claimed: a pause, or the worker is declared dead."""
        if mark["snapshot"] is None:
            return None
        _, xmax, in_progress = mark["snapshot"].split(":")
        last = mark["last"]
        return cls(
            xmax=int(xmax),
            in_progress=frozenset(int(xid) for xid in in_progress.split(",") if xid),
            late=mark["late"],
            fresh=mark["fresh"],
            last=(last[0], int(last[1]), last[2]) if last else None,
            limit=mark["limit"],
            priorities=tuple(mark["priorities"]),
            resumes=mark["resumes"],
        )


class Cursor:
    """One worker's position in one queue."""

    def __init__(self) -> None:
        self._full_claims = 0
        self.rewind()

    def rewind(self) -> None:
        """Moves to the first entry: in a new worker, on a new connection, and when a kind was resumed.

        On a new connection, because after a crash Postgres reuses transaction ids that it had not written to disk.
        """
        self._after = dict.fromkeys(PRIORITIES, (0, 0))
        self._open: set[int] = set()
        self._resumes: int | None = None

    def params(self) -> dict[str, Any]:
        """Returns where the next claim starts, as parameters of claim.sql."""
        priorities = self._priorities()
        return {
            "priorities": priorities,
            "after_xids": numbers(self._after[priority][0] for priority in priorities),
            "after_ids": [self._after[priority][1] for priority in priorities],
            "open": numbers(self._open),
            "below": str(LAST_XID),
        }

    def _priorities(self) -> list[int]:
        """Returns the priorities in the order of the next claim.

        A queue that is never empty would starve its lower priorities, so now and then one of them goes first.
        """
        turn, place = divmod(self._full_claims, FIRST_TURNS + 1)
        if place < FIRST_TURNS:
            return list(PRIORITIES)
        lower = PRIORITIES[-1 - turn % (len(PRIORITIES) - 1)]
        return [lower, *(priority for priority in PRIORITIES if priority != lower)]

    def passed(self, priority: int) -> int:
        """Returns the transaction id below which the cursor has passed every key of a priority."""
        return self._after[priority][0]

    def advance(self, mark: Mark) -> bool:
        """Moves on after a claim that was committed. Returns whether there may be more jobs to claim."""
        if mark.full and mark.limit > 0:
            self._full_claims += 1
        if self._resumes is not None and mark.resumes != self._resumes:
            self.rewind()
            self._resumes = mark.resumes
            return True
        self._resumes = mark.resumes
        end = (mark.xmax, 0)
        for priority in mark.priorities:
            if mark.full and (mark.last is None or priority == mark.last[0]):
                if mark.last is not None:
                    self._after[priority] = max(self._after[priority], min(end, mark.last[1:]))
                break
            self._after[priority] = end  # read to its end
        if mark.late < mark.limit:  # the rows of every ended transaction were read to the end
            self._open &= mark.in_progress
        self._open |= mark.in_progress
        return mark.full


class Sweep:
    """A slow second pass behind a cursor, for jobs that a rolled-back claim has left there.

    Each call reads one span of transaction ids. The span grows while that is quick and shrinks when it isn't, so that
    millions of dead entries are read in many short steps. A span is read only in priorities whose cursor has passed
    it: the cursor will read what is ahead of it.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.rewind()

    def rewind(self) -> None:
        """Starts again at the first entry."""
        self._from = self._below = 0
        self._step = _FIRST_STEP

    @property
    def has_ground(self) -> bool:
        """Whether there is anything to read: nothing as long as the cursor has not moved."""
        return bool(self._priorities())

    def params(self) -> dict[str, Any]:
        """Returns the next span, as parameters of claim.sql."""
        priorities = self._priorities()
        self._below = min(self._from + self._step, min(map(self._cursor.passed, priorities), default=self._from))
        return {
            "priorities": priorities,
            "after_xids": numbers([self._from] * len(priorities)),
            "after_ids": [0] * len(priorities),
            "open": "{}",
            "below": str(self._below),
        }

    def advance(self, mark: Mark, *, seconds: float, budget: float) -> bool:
        """Moves on after a claim that took `seconds`. Returns whether the sweep has reached its end, and rewinds it."""
        if not mark.full:
            self._from = self._below
        self._step = min(self._step * 2, _LONGEST_STEP) if seconds < budget else max(self._step // 2, 1)
        if self._priorities():
            return False
        self.rewind()
        return True

    def _priorities(self) -> list[int]:
        return [priority for priority in PRIORITIES if self._cursor.passed(priority) > self._from]
