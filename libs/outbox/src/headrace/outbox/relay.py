"""Takes due rows from the outbox, sends them to the jobs service, and records each row's result.

One round has three steps, each finished before the next: lease (committed), call, mark. After a crash between any two,
the rows become due again and are sent with the same key, so the jobs service returns the same job. Any number of relays
may work on one table.
"""

import asyncio
import logging
import random
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncEngine

from headrace.outbox import statements
from headrace.outbox.cleaner import Cleaner
from headrace.outbox.database import DATABASE_ERRORS, Database
from headrace.outbox.outbox import Outbox
from headrace.outbox.row_outcomes import RetryRules
from headrace.outbox.row_writer import RowWriter
from headrace.outbox.sender import LeasedRow, Sender
from headrace.outbox.settings import RelaySettings
from headrace.outbox.waiting import is_set_within

if TYPE_CHECKING:  # the class exists only in the stub file
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceAsyncStub

_log = logging.getLogger("headrace.outbox")


class Relay:
    """Sends the rows of one outbox.

    Args:
        engine: The engine of the database that the outbox is in. The relay uses one connection at a time,
            and now and then a second one for cleaning.
        outbox: The outbox.
        stub: The jobs service, on a channel that authenticates the caller.
        settings: See RelaySettings.
        rng: Draws the jitter; a test may seed it.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        outbox: Outbox,
        stub: "JobsServiceAsyncStub",
        *,
        settings: RelaySettings | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._outbox = outbox
        self._settings = settings or RelaySettings()
        self._database = Database(engine, self._settings.database_timeout)
        self._sender = Sender(stub, self._settings.call_timeout)
        self._retry_rules = RetryRules(self._settings, rng or random.Random())
        self._row_writer = RowWriter(self._database, outbox.table)
        self._cleaner = Cleaner(self._database, outbox.table, self._settings)
        self._failures = 0  # rounds in a row that failed as a whole
        self._woken = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Sends rows until `stop` is set, and finishes the current round first, within its deadlines.

        While the jobs service or the database is unavailable, the relay backs off and retries.
        """
        self._loop = asyncio.get_running_loop()
        remove_callback = self._outbox.on_commit(self.wake)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._relay(stop))
                tasks.create_task(self._cleaner.run(stop))
                tasks.create_task(self._wake_at(stop))
        finally:
            remove_callback()
            self._loop = None

    def wake(self) -> None:
        """Makes the relay check the outbox now. Safe from any thread; does nothing while the relay isn't running."""
        loop = self._loop
        if loop is not None:
            loop.call_soon_threadsafe(self._woken.set)

    async def _wake_at(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._woken.set()

    async def _relay(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._woken.clear()
            try:
                found, pause = await self._round()
            except DATABASE_ERRORS as error:
                self._failures += 1
                pause = self._retry_rules.outage_pause(self._failures)
                _log.warning(
                    "outbox_database_failed", extra={"error": str(error), "pause_seconds": pause.total_seconds()}
                )
                await is_set_within(stop, pause)
                continue
            if pause is not None:
                await is_set_within(stop, pause)  # a wake must not shorten it
            elif not found:
                await is_set_within(self._woken, self._settings.poll)

    async def _round(self) -> tuple[int, timedelta | None]:
        """Leases rows, sends them, and marks them.

        Returns:
            How many rows there were and, after an outage, how long the relay must pause.
        """
        lease = f"{self._settings.name}/{secrets.token_hex(4)}"
        until = asyncio.get_running_loop().time() + self._settings.lease.total_seconds()
        rows = await self._lease(lease)
        delivery = await self._sender.send([row for row in rows if not row.expired], until=until)
        pause = None
        if delivery.outage is None:
            self._failures = 0
        else:
            self._failures += 1
            pause = self._retry_rules.outage_pause(self._failures, delivery.outage)
            _log.warning(
                "outbox_call_failed", extra={"error": delivery.outage.error, "pause_seconds": pause.total_seconds()}
            )
        await self._row_writer.mark(lease, self._retry_rules.outcomes(rows, delivery, pause))
        return len(rows), pause

    async def _lease(self, lease: str) -> list[LeasedRow]:
        statement = statements.lease(
            self._outbox.table,
            by=lease,
            rows=self._settings.batch,
            size=self._settings.batch_bytes,
            length=self._settings.lease,
            oldest=self._settings.park_after,
        )
        async with self._database.transaction() as connection:
            return [LeasedRow(**row) for row in (await connection.execute(statement)).mappings()]
