"""Moves the database's clock ahead, for the transaction of a test alone."""

from __future__ import annotations

from datetime import datetime, timedelta

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import statement
from headrace.queue.db.transaction import Plan, Query


def moved_clock(by: timedelta, schema: str) -> Plan[datetime]:
    """Moves the clock ahead and returns the time that it shows then.

    Raises:
        ValueError: `by` is below 0.
        TypeError: `by` is not a timedelta.
    """
    require_type("move_clock", timedelta, by=by)
    if by < timedelta(0):
        raise ValueError(f"the clock only moves ahead: by must be at least 0, not {by}")
    yield Query(statement("move_clock", schema), {"by": by})
    [row] = yield Query(statement("clock", schema), {})
    now: datetime = row["now"]
    return now
