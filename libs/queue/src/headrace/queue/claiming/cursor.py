"""Where a worker has come in a queue's line: an exact cursor, in memory only.

Dead index entries lie in the line wherever jobs have been claimed, and stay while any transaction holds vacuum back.
The cursor keeps a claim from walking over them again: per priority, the last key taken. Transactions that were still
open when the cursor passed their place are remembered, and read by equality once they are decided. So no committed
job is missed, with one exception: what a rolled-back claim of another worker has left behind is found by the sweep.

The rule, for a claim whose snapshot is S: the cursor never passes S's xmax; a key below it is then taken, or belongs
to a transaction that was open in S and is remembered. Same idea as the tick snapshots of PgQ, without ticks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.queue.db.array_literals import numbers

PRIORITIES = (1, 2, 3, 4)
# So many full claims begin with the first priority; the next one begins with a lower one, each of those in turn.
FIRST_TURNS = 7
LAST_XID = 2**64 - 1
_FIRST_STEP = 10_000
_LONGEST_STEP = 2**40


@dataclass(frozen=True)
class Mark:
    """What a claim says about the line, besides the jobs."""

    xmax: int
    in_progress: frozenset[int]
    late: int
    fresh: int
    last: tuple[int, int, int] | None
    """Priority, transaction and id of the last job taken that the claim's snapshot could see."""
    limit: int
    """How many jobs it could have taken: what was asked for, or what the queue's limit left of it."""
    priorities: tuple[int, ...] = PRIORITIES
    """The priorities in the order in which it took them."""
    resumes: int = 0
    """How often kinds have been resumed. When that grows, jobs stand behind every cursor."""

    @property
    def full(self) -> bool:
        """Whether there may be more to take."""
        return self.late + self.fresh >= self.limit

    @classmethod
    def parse(cls, mark: dict[str, Any]) -> Mark | None:
        """The mark of claim.sql; None when nothing may be claimed: a pause, or the worker is declared dead."""
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
    """One worker's place in one queue's line."""

    def __init__(self) -> None:
        self._full_claims = 0
        self.rewind()

    def rewind(self) -> None:
        """Starts again from the first entry: in a new worker, on a new connection, and when a kind was resumed.

        After a crash of the server, transaction ids that were never made durable are handed out again.
        """
        self._after = dict.fromkeys(PRIORITIES, (0, 0))
        self._open: set[int] = set()
        self._resumes: int | None = None

    def params(self) -> dict[str, Any]:
        """Where the next claim starts, as parameters of claim.sql."""
        priorities = self._priorities()
        return {
            "priorities": priorities,
            "after_xids": numbers(self._after[priority][0] for priority in priorities),
            "after_ids": [self._after[priority][1] for priority in priorities],
            "open": numbers(self._open),
            "below": str(LAST_XID),
        }

    def _priorities(self) -> list[int]:
        """The lanes in the order of the next claim.

        A line that is never drained would starve its lower priorities: now and then one of them goes first.
        """
        turn, place = divmod(self._full_claims, FIRST_TURNS + 1)
        if place < FIRST_TURNS:
            return list(PRIORITIES)
        lower = PRIORITIES[-1 - turn % (len(PRIORITIES) - 1)]
        return [lower, *(priority for priority in PRIORITIES if priority != lower)]

    def passed(self, priority: int) -> int:
        """Every transaction below this one lies behind the lane's cursor."""
        return self._after[priority][0]

    def advance(self, mark: Mark) -> bool:
        """Moves on by a claim that was committed. Answers whether there may be more to take."""
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
            self._after[priority] = end  # taken to its end
        if mark.late < mark.limit:  # every decided transaction was read to its end
            self._open &= mark.in_progress
        self._open |= mark.in_progress
        return mark.full


class Sweep:
    """A slow second walk over the line behind a cursor, for what a rolled-back claim has left there.

    Each call looks at one span of transactions; the span grows while that is quick and shrinks when it isn't, so that
    millions of dead entries are walked in many short steps. It looks only at lanes whose own cursor has passed the
    span: what stands before a cursor is taken in its turn.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.rewind()

    def rewind(self) -> None:
        """Begins the walk anew."""
        self._from = self._below = 0
        self._step = _FIRST_STEP

    @property
    def has_ground(self) -> bool:
        """Whether there is anything to walk over: not in a worker that has only just begun."""
        return bool(self._priorities())

    def params(self) -> dict[str, Any]:
        """The span to look at, as parameters of claim.sql."""
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
        """Moves on by a claim that took `seconds`; answers whether the walk has come to its end and begins anew."""
        if not mark.full:
            self._from = self._below
        self._step = min(self._step * 2, _LONGEST_STEP) if seconds < budget else max(self._step // 2, 1)
        if self._priorities():
            return False
        self.rewind()
        return True

    def _priorities(self) -> list[int]:
        return [priority for priority in PRIORITIES if self._cursor.passed(priority) > self._from]
