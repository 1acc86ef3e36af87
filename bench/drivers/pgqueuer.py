"""Drives pgqueuer in its fastest setting: asyncpg on uvloop, batches of 100, no upkeep of its statistics meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import asyncpg
import uvloop
from pgqueuer.db import AsyncpgDriver
from pgqueuer.models import Job
from pgqueuer.qm import QueueManager
from pgqueuer.queries import Queries

from bench.drivers import harness

BATCH = 100
INSERT = 1000
ENTRYPOINT = "verification"


class PgQueuer:
    """One queue manager."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None

    async def setup(self) -> None:
        """Makes its tables."""
        await Queries(AsyncpgDriver(await self._connect())).install()

    async def enqueue(self, ids: Sequence[str]) -> None:
        """By its arrays, a thousand jobs in each statement."""
        connection = await self._connect()
        queries = Queries(AsyncpgDriver(connection))
        async with connection.transaction():
            for start in range(0, len(ids), INSERT):
                part = [id_.encode() for id_ in ids[start : start + INSERT]]
                await queries.enqueue([ENTRYPOINT] * len(part), part, [0] * len(part))

    async def enqueue_one(self, id_: str) -> None:
        """By its single form."""
        await Queries(AsyncpgDriver(await self._connect())).enqueue(ENTRYPOINT, id_.encode())

    @asynccontextmanager
    async def working(self, began: Callable[[str], None]) -> AsyncIterator[None]:
        """One queue manager on one connection."""
        manager = QueueManager(Queries(AsyncpgDriver(await asyncpg.connect(self._dsn))))

        @manager.entrypoint(ENTRYPOINT)  # type: ignore[untyped-decorator]
        async def handle(job: Job) -> None:
            began((job.payload or b"").decode())

        run = asyncio.create_task(manager.run(batch_size=BATCH, log_aggregation_interval=timedelta(0)))
        try:
            yield
        finally:
            manager.shutdown.set()
            await run

    async def _connect(self) -> Any:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn)
        return self._connection


if __name__ == "__main__":
    harness.main(PgQueuer, uvloop.run)
