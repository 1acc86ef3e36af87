"""Deletes expired rows: finished jobs and their unique keys, idempotency keys, stopped workers, audit entries.

It reads the jobs in pages, in the order of their ids. So it needs no extra index and never delays a claim. A row of the
chores table lets one process at a time do it, and records the page.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.retention import Retention

INTERVAL = timedelta(seconds=30)
BETWEEN_PAGES = timedelta(milliseconds=100)
PASS_EVERY = timedelta(minutes=10)
PAGE = 2000
# More rows than the busiest 30 s leave.
FOLD = 50_000


class Cleaner:
    """Deletes expired rows, a page per step.

    Args:
        connection: The connection for maintenance.
        schema: The installation's schema.
        retention: How long finished jobs are kept.
        audit_retention: How long audit entries are kept.
    """

    def __init__(
        self, connection: ReconnectingConnection, schema: str, retention: Retention, *, audit_retention: timedelta
    ) -> None:
        self._connection = connection
        self._jobs = statement("clean_jobs", schema)
        self._keys = statement("clean_keys", schema)
        self._uniques = statement("clean_uniques", schema)
        self._workers = statement("clean_workers", schema)
        self._audit_entries = statement("clean_audit_entries", schema)
        self._fold = statement("fold_tallies", schema)
        self._retention = retention
        self._audit_retention = audit_retention

    async def step(self) -> timedelta:
        """Deletes a page. Returns the pause until the next step. Raises DatabaseUnavailableError."""
        params = {
            "page": PAGE,
            **asdict(self._retention),
            "longest": max(asdict(self._retention).values()),
            "pause": PASS_EVERY,
        }
        for pages in (self._jobs, self._uniques):
            rows = await self._connection.execute(pages, params)
            if rows and rows[0]["seen"] == PAGE:
                return BETWEEN_PAGES
        await self._connection.execute(self._keys, params)
        await self._connection.execute(self._fold, {"most": FOLD})
        await self._connection.execute(self._workers, params)
        rows = await self._connection.execute(self._audit_entries, {"audit": self._audit_retention, "page": PAGE})
        return BETWEEN_PAGES if rows and rows[0]["deleted"] == PAGE else INTERVAL
