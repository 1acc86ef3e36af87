"""Writes the progress that handlers report: the latest report per job, in one statement a second.

Reports are for operators. They are kept while Postgres is unavailable, and never delay a job.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from datetime import timedelta

from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)
INTERVAL = timedelta(seconds=1)


class Progress:
    """Writes the worker's progress reports. To be created inside a running event loop."""

    def __init__(self, connection: ReconnectingConnection, schema: str) -> None:
        self._connection = connection
        self._report = statement("report_progress", schema)
        self._loop = asyncio.get_running_loop()
        self._latest: dict[tuple[int, int], str] = {}
        self._wake = asyncio.Event()

    def report(self, job_id: int, lease: int, value: str) -> None:
        """Takes a report, as JSON text, to be written soon. May be called from any thread."""
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            self._loop.call_soon_threadsafe(self._take, (job_id, lease), value)

    async def run(self) -> None:
        """Writes reports until cancelled."""
        backoff = ReconnectBackoff()
        while True:
            await self._wake.wait()
            try:
                await self.flush()
            except DatabaseUnavailableError as error:
                await backoff.wait(logger, f"progress reports are kept until Postgres is available: {error}")
                continue
            backoff.reset()
            await asyncio.sleep(INTERVAL.total_seconds())

    async def flush(self) -> None:
        """Writes all reports. Raises DatabaseUnavailableError."""
        self._wake.clear()
        # Sorted by id, like outcomes, so that the statements wait for each other instead of deadlocking.
        if sending := sorted(self._latest.items()):
            self._latest = {}
            params = {
                "ids": [job_id for (job_id, _), _ in sending],
                "leases": [lease for (_, lease), _ in sending],
                "values": [value for _, value in sending],
            }
            try:
                await self._connection.execute(self._report, params)
            except BaseException:
                self._latest = dict(sending) | self._latest
                self._wake.set()
                raise

    def _take(self, attempt: tuple[int, int], value: str) -> None:
        self._latest[attempt] = value
        self._wake.set()
