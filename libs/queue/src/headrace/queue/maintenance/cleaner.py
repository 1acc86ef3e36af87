"""Forgets what nobody needs any more: finished jobs and their uniqueness, expired keys, workers that are gone, acts.

It walks the jobs by id, a page at a time, so it needs no index and is never in the way of claims; a row in the chores
table makes it one process at a time and remembers the page.
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
# More than the busiest half a minute leaves.
FOLD = 50_000


class Cleaner:
    """The worker's broom."""

    def __init__(
        self, link: ReconnectingConnection, schema: str, retention: Retention, *, audit_retention: timedelta
    ) -> None:
        self._link = link
        self._jobs = statement("clean_jobs", schema)
        self._keys = statement("clean_keys", schema)
        self._uniques = statement("clean_uniques", schema)
        self._workers = statement("clean_workers", schema)
        self._acts = statement("clean_audit_entries", schema)
        self._fold = statement("fold_tallies", schema)
        self._retention = retention
        self._audit_retention = audit_retention

    async def step(self) -> timedelta:
        """Cleans a page. Raises DatabaseUnavailableError."""
        params = {
            "page": PAGE,
            **asdict(self._retention),
            "longest": max(asdict(self._retention).values()),
            "pause": PASS_EVERY,
        }
        for pages in (self._jobs, self._uniques):
            rows = await self._link.execute(pages, params)
            if rows and rows[0]["seen"] == PAGE:
                return BETWEEN_PAGES
        await self._link.execute(self._keys, params)
        await self._link.execute(self._fold, {"most": FOLD})
        await self._link.execute(self._workers, params)
        acts = await self._link.execute(self._acts, {"audit": self._audit_retention, "page": PAGE})
        return BETWEEN_PAGES if acts and acts[0]["deleted"] == PAGE else INTERVAL
