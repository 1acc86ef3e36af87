"""Cleaner: removes sent rows past their retention, in small batches, so that no transaction is long."""

import asyncio
import logging

from sqlalchemy import Table

from headrace.outbox import statements
from headrace.outbox.database import DATABASE_ERRORS, Database
from headrace.outbox.settings import RelaySettings
from headrace.outbox.waiting import is_set_within

_log = logging.getLogger("headrace.outbox")


class Cleaner:
    """Removes sent rows. Waiting and parked rows are never touched; several cleaners don't wait for each other."""

    def __init__(self, database: Database, table: Table, settings: RelaySettings) -> None:
        self._database = database
        self._settings = settings
        self._statement = statements.delete_sent(table, older_than=settings.retention, limit=settings.clean_batch)

    async def run(self, stop: asyncio.Event) -> None:
        """Clean now and then until stopped."""
        while not stop.is_set():
            try:
                while await self.run_once() == self._settings.clean_batch and not stop.is_set():
                    pass
            except DATABASE_ERRORS as error:
                _log.warning("outbox_cleaning_failed", extra={"error": str(error)})
            await is_set_within(stop, self._settings.clean_every)

    async def run_once(self) -> int:
        """Remove one batch and answer how many rows it had."""
        async with self._database.transaction() as connection:
            return (await connection.execute(self._statement)).rowcount
