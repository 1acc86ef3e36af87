"""The clock of a test's transaction: the database's, set ahead. Only this transaction sees it."""

from __future__ import annotations

from datetime import datetime, timedelta

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query


def moved_clock(by: timedelta, schema: str) -> Plan[datetime]:
    """Moves it ahead; answers what it shows then.

    Raises:
        ValueError: `by` is below 0.
        TypeError: It is no timedelta.
    """
    require_type("move_clock", timedelta, by=by)
    if by < timedelta(0):
        raise ValueError(f"a clock moves ahead: by must be at least 0, and is {by}")
    yield Query(statement("move_clock", schema), {"by": by})
    [row] = yield Query(statement("clock", schema), {})
    now: datetime = row["now"]
    return now
