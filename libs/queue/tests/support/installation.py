"""A migrated database of the engine, as most of its tests use it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import psycopg
from engine_kinds import FILE, TestKinds
from psycopg import sql
from psycopg.abc import Params

from headrace.queue import (
    Enqueuer,
    Handlers,
    Job,
    Kinds,
    NewJob,
    Periodic,
    RetryPolicy,
    Worker,
    WorkerSettings,
    get_job_async,
)


class Installation:
    """A migrated database, an enqueuer, and workers on demand.

    Args:
        dsn: How it is reached.
        pooled: Whether `dsn` leads through a pooler in transaction mode.
    """

    def __init__(self, dsn: str, *, pooled: bool = False) -> None:
        self.dsn = dsn
        self.pooled = pooled
        self.connection_options: dict[str, Any] = {"prepare_threshold": None} if pooled else {}
        poll = {"listen": False, "poll_interval": timedelta(milliseconds=50)}
        self._worker_options: dict[str, Any] = poll if pooled else {}
        self.kinds = Kinds.of_file(FILE)
        self.enqueuer = Enqueuer(self.kinds, hash_keys=(b"test",))

    async def connect(self, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
        """Opens a connection, which the caller closes."""
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=autocommit, **self.connection_options)

    async def enqueue(self, payload: object, **options: Any) -> int:
        """Enqueues and commits one job, and returns its id."""
        async with await self.connect(autocommit=False) as connection:
            return (await self.enqueuer.enqueue_async(connection, NewJob(payload, **options))).job_id

    async def job(self, job_id: int) -> Job:
        """Returns the job as it is now."""
        async with await self.connect() as connection:
            return await get_job_async(connection, job_id)

    async def execute(self, query: str | sql.Composed, params: Params | None = None) -> list[Any]:
        """Runs a statement, and returns its rows."""
        async with await self.connect() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description is not None else []

    async def take_away(self) -> None:
        """Takes each job from the worker that runs it: the job is available again, under another lease."""
        await self.execute(
            "update headrace.jobs set state = 'available', ready_xid = pg_current_xact_id(), lease = lease + 1"
        )

    def handlers(self, **functions: Any) -> Handlers:
        """Returns handlers, given by their kinds' short names."""
        handlers = Handlers(self.kinds)
        for name, function in functions.items():
            handlers.add(getattr(TestKinds, name), function)
        return handlers

    def settings(self, **settings: Any) -> WorkerSettings:
        """Returns a worker's settings, as the way to the database allows them."""
        return WorkerSettings(**{**settings, **self._worker_options})

    def worker(self, handlers: Handlers, *, periodic: Sequence[Periodic] = (), **settings: Any) -> Worker:
        """Returns a worker with quick retries, which does not run yet."""
        return Worker(
            self.dsn,
            handlers,
            settings=self.settings(**settings),
            retry=RetryPolicy(base=timedelta(milliseconds=10), factor=1),
            periodic=periodic,
        )

    async def is_in(self, job_id: int, state: str) -> bool:
        """Whether the job is in that state."""
        return (await self.job(job_id)).state == state

    @asynccontextmanager
    async def working(self, worker: Worker) -> AsyncIterator[Worker]:
        """Runs a worker for the length of a block, and drains it."""
        run = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await run
