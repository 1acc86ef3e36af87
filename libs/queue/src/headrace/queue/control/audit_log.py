"""Who did what: administrative acts, each recorded in the transaction of the act itself.

So neither is there without the other. The engine records nothing by itself: who acts, and what it is called, is known
to the service or the program in front of it. Nothing here is ever changed; workers forget what is past its retention.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.db.jsonb import encoded
from headrace.queue.db.statements import DEFAULT_SCHEMA, rows

DETAIL_BYTES = 16 * 1024
"""Larger details are left out, and their size is recorded in their place: an act is never refused for its record."""


@dataclass(frozen=True)
class AuditEntry:
    """One administrative act."""

    id: int
    """Grows with time."""
    at: datetime
    """When: the database's time."""
    actor: str
    """Who: a caller's name, or an operator's."""
    action: str
    """What: "CancelJob"."""
    subject: str
    """To what: "job:17", "queue:email", "kind:…", "periodic:…", "filter" or "all"."""
    details: Mapping[str, Any]
    """How: what was asked for, as JSON has it; never the payload of a job."""
    jobs: int
    """How many jobs it changed."""


async def record_audit_entry(
    connection: AsyncConnection[Any],
    *,
    actor: str,
    action: str,
    subject: str,
    details: Mapping[str, Any] | None = None,
    jobs: int = 0,
    schema: str = DEFAULT_SCHEMA,
) -> int:
    """Records an act in the connection's transaction, which is to be the act's own; answers the record's id.

    Raises:
        TypeError: The details are no JSON.
    """
    params = {"actor": actor, "action": action, "subject": subject, "details": _details(details or {}), "jobs": jobs}
    [row] = await rows(connection, "record_audit_entry", params, schema=schema)
    recorded: int = row["id"]
    return recorded


async def list_audit_entries(
    connection: AsyncConnection[Any],
    *,
    actor: str | None = None,
    subject: str | None = None,
    limit: int = 50,
    before_id: int | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> list[AuditEntry]:
    """Acts, newest first: of an actor, on a subject, or all; those below `before_id`, at most `limit`.

    An act's id is given out before its transaction commits, so one that was slow to commit may appear below others.
    """
    params = {"actor": actor, "subject": subject, "limit": limit, "before_id": before_id}
    return [AuditEntry(**row) for row in await rows(connection, "list_audit_entries", params, schema=schema)]


def _details(details: Mapping[str, Any]) -> str:
    try:
        return encoded(dict(details), what="the details of an act", limit=DETAIL_BYTES)
    except ValueError as error:
        return encoded({"left_out": str(error)}, what="the details of an act", limit=DETAIL_BYTES)
