"""Deletes sent rows past their retention, in small batches to keep transactions short."""

import asyncio
import logging

from sqlalchemy import Table

from headrace.outbox import statements
from headrace.outbox.database import DATABASE_ERRORS, Database
from headrace.outbox.settings import RelaySettings
from headrace.outbox.waiting import is_set_within

_log = logging.getLogger("headrace.outbox")


class Cleaner:
    """Deletes sent rows, never waiting or parked ones. Several cleaners don't wait for each other."""

    def __init__(self, database: Database, table: Table, settings: RelaySettings) -> None:
        self._database = database
        self._settings = settings
        self._statement = statements.delete_sent(table, older_than=settings.retention, limit=settings.clean_batch)

    async def run(self, stop: asyncio.Event) -> None:
        """Deletes rows every `clean_every` until stopped."""
        while not stop.is_set():
            try:
                while await self.run_once() == self._settings.clean_batch and not stop.is_set():
                    pass
            except DATABASE_ERRORS as error:
                _log.warning("outbox_cleaning_failed", extra={"error": str(error)})
            await is_set_within(stop, self._settings.clean_every)

    async def run_once(self) -> int:
        """Deletes one batch, and returns how many rows it had."""
        async with self._database.transaction() as connection:
            return (await connection.execute(self._statement)).rowcount
