"""The statements on the outbox table.

They lock rows in one of two ways that can't deadlock: with SKIP LOCKED, which never waits, or in the order of their
ids. They use the database's time.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    Delete,
    Interval,
    Select,
    Table,
    Text,
    Update,
    Uuid,
    any_,
    bindparam,
    case,
    column,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.expression import ColumnElement, TableValuedAlias

from headrace.outbox.table import waiting


def lease(table: Table, *, by: str, rows: int, size: int, length: timedelta, oldest: timedelta) -> Update:
    """Leases the rows that have been due longest, up to a number of rows and bytes (at least one row).

    Walks the head of `<name>_due` and skips rows that another relay is leasing. Returns the rows, each with whether it
    is `expired`: older than `oldest`. An operator's retry resets the age.
    """
    due = (
        select(table.c.id, table.c.due_at, func.octet_length(table.c.payload).label("size"))
        .where(waiting(table), table.c.due_at <= func.now())
        .order_by(table.c.due_at, table.c.id)
        .limit(rows)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    order = (due.c.due_at, due.c.id)
    measured = select(
        due.c.id,
        func.sum(due.c.size).over(order_by=order).label("total"),
        func.row_number().over(order_by=order).label("place"),
    ).cte("measured")
    age = func.now() - func.coalesce(table.c.retried_at, table.c.created_at)
    return (
        update(table)
        .where(table.c.id == measured.c.id, or_(measured.c.total <= size, measured.c.place == 1))
        .values(due_at=func.now() + length, leased_by=by, attempts=table.c.attempts + 1)
        .returning(
            table.c.id,
            table.c.kind,
            table.c.queue,
            table.c.version,
            table.c.payload,
            table.c.idempotency_key,
            table.c.traceparent,
            table.c.tracestate,
            table.c.baggage,
            table.c.attempts,
            (age > oldest).label("expired"),
        )
    )


def hold(table: Table, ids: Sequence[UUID]) -> Select[Any]:
    """Locks rows in the order of their ids before they are marked: two relays may have results for the same rows."""
    return select(table.c.id).where(_among(table, ids)).order_by(table.c.id).with_for_update()


def mark_sent(table: Table, jobs: Sequence[tuple[UUID, str]]) -> Update:
    """Records that rows became jobs. That is true under any lease, so the lease isn't checked."""
    accepted = _rows(("id", Uuid(), [row_id for row_id, _ in jobs]), ("job_id", Text(), [job_id for _, job_id in jobs]))
    return (
        update(table)
        .where(table.c.id == accepted.c.id, table.c.sent_at.is_(None))
        .values(sent_at=func.now(), job_id=accepted.c.job_id, leased_by=None, parked_at=None, last_error=None)
    )


def mark_again(table: Table, *, by: str, pauses: Sequence[tuple[UUID, timedelta, str]]) -> Update:
    """Schedules rows for another attempt, each after its pause. Leaves rows alone whose lease was lost."""
    refused = _rows(
        ("id", Uuid(), [row_id for row_id, _, _ in pauses]),
        ("pause", Interval(), [pause for _, pause, _ in pauses]),
        ("error", Text(), [error for _, _, error in pauses]),
    )
    return (
        update(table)
        .where(table.c.id == refused.c.id, table.c.leased_by == by)
        .values(due_at=func.now() + refused.c.pause, leased_by=None, last_error=refused.c.error)
    )


def mark_parked(table: Table, *, by: str, errors: Sequence[tuple[UUID, str]]) -> Update:
    """Parks rows. Leaves rows alone whose lease was lost."""
    refused = _rows(("id", Uuid(), [row_id for row_id, _ in errors]), ("error", Text(), [error for _, error in errors]))
    # A row that is parked for its age keeps its last error.
    reason = case(
        (table.c.last_error.is_(None), refused.c.error), else_=refused.c.error + "; before: " + table.c.last_error
    )
    return (
        update(table)
        .where(table.c.id == refused.c.id, table.c.leased_by == by)
        .values(parked_at=func.now(), leased_by=None, last_error=reason)
    )


def list_parked(table: Table, limit: int) -> Select[Any]:
    """Returns the oldest parked rows, by `<name>_parked`."""
    return (
        select(
            table.c.id,
            table.c.kind,
            table.c.idempotency_key,
            table.c.created_at,
            table.c.parked_at,
            table.c.attempts,
            table.c.last_error,
        )
        .where(table.c.parked_at.is_not(None))
        .order_by(table.c.id)
        .limit(limit)
    )


def retry_parked(table: Table, ids: Sequence[UUID] | None) -> Update:
    """Makes parked rows due now, with a new age and no attempts."""
    chosen = table.c.parked_at.is_not(None)
    return (
        update(table)
        .where(chosen if ids is None else chosen & _among(table, ids))
        .values(parked_at=None, due_at=func.now(), retried_at=func.now(), attempts=0)
        .returning(table.c.id)
    )


def delete_sent(table: Table, *, older_than: timedelta, limit: int) -> Delete:
    """Deletes the rows that were sent longest ago, by `<name>_sent`, a small batch at a time."""
    old = (
        select(table.c.id)
        .where(table.c.sent_at < func.now() - older_than)
        .order_by(table.c.sent_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("old")  # a plain subquery might run more than once and exceed its limit
    )
    return delete(table).where(table.c.id == old.c.id)


def _among(table: Table, ids: Sequence[UUID]) -> ColumnElement[bool]:
    return table.c.id == any_(bindparam(None, list(ids), ARRAY(Uuid()), unique=True))


def _rows(*columns: tuple[str, Any, list[Any]]) -> TableValuedAlias:
    """Returns values as a table: one array parameter per column, so the statement's text is always the same."""
    arrays: list[ColumnElement[Any]] = [
        bindparam(None, values, ARRAY(kind), unique=True) for _, kind, values in columns
    ]
    return (
        func.unnest(*arrays)
        .table_valued(*(column(name, kind) for name, kind, _ in columns), name="answer")
        .render_derived()
    )
