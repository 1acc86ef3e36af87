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

PRIORITIES = (1, 2, 3, 4)
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

    @classmethod
    def parse(cls, mark: dict[str, Any]) -> Mark | None:
        """The mark of claim.sql; None when the gate was closed: the queue is paused, or the worker declared dead."""
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
        )


class Cursor:
    """One worker's place in one queue's line."""

    def __init__(self) -> None:
        self.rewind()

    def rewind(self) -> None:
        """Starts again from the first entry: in a new worker, and on a new connection.

        After a crash of the server, transaction ids that were never made durable are handed out again.
        """
        self._after = dict.fromkeys(PRIORITIES, (0, 0))
        self._open: set[int] = set()

    def params(self) -> dict[str, Any]:
        """Where the next claim starts, as parameters of claim.sql."""
        return {
            "priorities": list(PRIORITIES),
            "after_xids": array(self._after[priority][0] for priority in PRIORITIES),
            "after_ids": [self._after[priority][1] for priority in PRIORITIES],
            "open": array(self._open),
            "below": str(LAST_XID),
        }

    @property
    def furthest(self) -> int:
        """No lane's cursor stands beyond this transaction."""
        return max(xid for xid, _ in self._after.values())

    def advance(self, mark: Mark, limit: int) -> None:
        """Moves on by a claim of at most `limit` jobs that was committed."""
        end = (mark.xmax, 0)
        drained = mark.fresh < limit - mark.late
        for priority in PRIORITIES:
            if drained or (mark.last is not None and priority < mark.last[0]):
                self._after[priority] = end
            elif mark.last is not None and priority == mark.last[0]:
                self._after[priority] = max(self._after[priority], min(end, mark.last[1:]))
        if mark.late < limit:  # every decided transaction was read to its end
            self._open &= mark.in_progress
        self._open |= mark.in_progress


class Sweep:
    """A slow second walk over the line behind a cursor, for what a rolled-back claim has left there.

    Each call looks at one span of transactions; the span grows while that is quick and shrinks when it isn't, so that
    millions of dead entries are walked in many short steps.
    """

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self.rewind()

    def rewind(self) -> None:
        """Begins the walk anew."""
        self._from = 0
        self._step = _FIRST_STEP

    def params(self) -> dict[str, Any]:
        """The span to look at, as parameters of claim.sql."""
        return {
            "priorities": list(PRIORITIES),
            "after_xids": array([self._from] * len(PRIORITIES)),
            "after_ids": [0] * len(PRIORITIES),
            "open": "{}",
            "below": str(min(self._from + self._step, self._cursor.furthest)),
        }

    def advance(self, mark: Mark, limit: int, *, seconds: float, budget: float) -> bool:
        """Moves on by a claim that took `seconds`; answers whether the walk has come to its end and begins anew."""
        if mark.fresh < limit:
            self._from += self._step
        self._step = min(self._step * 2, _LONGEST_STEP) if seconds < budget else max(self._step // 2, 1)
        if self._from < self._cursor.furthest:
            return False
        self.rewind()
        return True


def array(values: Any) -> str:
    """A Postgres array of xid8, which psycopg has no type for, as text."""
    return "{" + ",".join(map(str, values)) + "}"
