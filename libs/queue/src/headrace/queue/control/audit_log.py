"""The audit log: who changed what. Each change is recorded in its own transaction, so that both or neither commit.

The engine records nothing by itself: the service or program that calls it knows who acts, and what the action is
called. Entries are never changed. Workers delete those that are older than their retention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from headrace.queue.db.jsonb import encoded
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both

DETAIL_BYTES = 16 * 1024
"""Larger details are left out, and their size is recorded instead: a change must not fail because of its record."""


@dataclass(frozen=True)
class AuditEntry:
    """One administrative change."""

    id: int
    """Grows with time."""
    at: datetime
    """When, by the database's clock."""
    actor: str
    """Who: the name of a caller, or of an operator."""
    action: str
    """What was done: "CancelJob"."""
    subject: str
    """To what: "job:17", "queue:email", "kind:…", "periodic:…", "filter" or "all"."""
    details: Mapping[str, Any]
    """What was requested, as JSON. Never the payload of a job."""
    jobs: int
    """How many jobs were changed."""


def record_audit_entry_plan(
    *,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
    jobs: int = 0,
    schema: str = DEFAULT_SCHEMA,
) -> Plan[int]:
    """Records a change. Call it in the transaction of the change.

    Args:
        actor: Who: the name of a caller, or of an operator.
        action: What was done: "CancelJob".
        subject: To what: "job:17", "queue:email", "kind:…", "periodic:…", "filter" or "all".
        details: What was requested, as JSON. Never the payload of a job.
        jobs: How many jobs were changed.
        schema: The installation's schema.

    Returns:
        The entry's id.

    Raises:
        TypeError: The details are not JSON.
    """
    params = {"actor": actor, "action": action, "subject": subject, "details": _details(details or {}), "jobs": jobs}
    [row] = yield Query(statement("record_audit_entry", schema), params, alone=True)
    entry_id: int = row["id"]
    return entry_id


record_audit_entry, record_audit_entry_async = both(record_audit_entry_plan)


def list_audit_entries_plan(
    *,
    actor: str | None = None,
    subject: str | None = None,
    limit: int = 50,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> Plan[list[AuditEntry]]:
    """Returns entries, newest first: those below `before_id`, at most `limit`.

    An entry gets its id before its transaction commits, so one that was slow to commit may appear below others.

    Args:
        actor: Only entries of this actor.
        subject: Only entries about this subject.
        limit: The most entries to return.
        before_id: Only entries with a lower id than this.
        schema: The installation's schema.
    """
    params = {"actor": actor, "subject": subject, "limit": limit, "before_id": before_id}
    rows = yield Query(statement("list_audit_entries", schema), params, alone=True)
    return [AuditEntry(**row) for row in rows]


list_audit_entries, list_audit_entries_async = both(list_audit_entries_plan)


def _details(details: Mapping[str, Any]) -> str:
    try:
        return encoded(dict(details), what="the details of an audit entry", limit=DETAIL_BYTES)
    except ValueError as error:
        return encoded({"left_out": str(error)}, what="the details of an audit entry", limit=DETAIL_BYTES)
