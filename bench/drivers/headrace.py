"""Drives this project's engine: everything on, as a worker of the library runs by default, but for the slots."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import psycopg
import uvloop

from bench.drivers import harness
from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, WorkerSettings, tune_garbage_collector
from headrace.queue.db import migrate
from saas.jobs.v1 import kinds_pb2

# Three times the most that one claim takes: one claim's jobs run, one's have come, and one is on its way.
SLOTS = 12_000


class Headrace:
    """The engine with the product's kinds."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._kinds = Kinds.of_file(kinds_pb2.DESCRIPTOR)
        self._enqueuer = Enqueuer(self._kinds)
        self._connection: psycopg.AsyncConnection[tuple[object, ...]] | None = None

    async def setup(self) -> None:
        """Makes its tables."""
        await asyncio.to_thread(migrate.up, self._dsn)

    async def enqueue(self, ids: Sequence[str]) -> None:
        """By COPY."""
        await self._enqueuer.enqueue_many_fast_async(await self._connect(), (NewJob(_payload(id_)) for id_ in ids))

    async def enqueue_many(self, ids: Sequence[str]) -> None:
        """With a result for each job."""
        await self._enqueuer.enqueue_many_async(await self._connect(), [NewJob(_payload(id_)) for id_ in ids])

    async def enqueue_one(self, id_: str) -> None:
        """One job in its own transaction."""
        await self._enqueuer.enqueue_async(await self._connect(), NewJob(_payload(id_)))

    @asynccontextmanager
    async def working(self, began: Callable[[str], None]) -> AsyncIterator[None]:
        """One worker process."""

        async def handle(message: kinds_pb2.SendVerificationEmail, _: RunningJob) -> None:
            began(message.mail_id)

        handlers = Handlers(self._kinds)
        handlers.add(kinds_pb2.SendVerificationEmail, handle)
        worker = Worker(self._dsn, handlers, settings=WorkerSettings(slots=SLOTS))
        run = asyncio.create_task(worker.run())
        try:
            yield
        finally:
            worker.stop()
            await run

    async def _connect(self) -> psycopg.AsyncConnection[tuple[object, ...]]:
        if self._connection is None:
            self._connection = await psycopg.AsyncConnection.connect(self._dsn, autocommit=True)
        return self._connection


def _payload(id_: str) -> kinds_pb2.SendVerificationEmail:
    return kinds_pb2.SendVerificationEmail(mail_id=id_)


if __name__ == "__main__":
    tune_garbage_collector()  # as every program that is a worker does
    harness.main(Headrace, uvloop.run)
