"""An installation of its own for each of the engine's tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pgbouncer
import psycopg
import pytest
from engine_kinds import FILE, TestKinds
from google.protobuf.message import Message
from pgbouncer import PgBouncer

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
from headrace.queue.db import migrate

# What claims, runs and settles jobs is tested through a pooler in transaction mode as well.
CLAIM_PATH = (
    "test_behind_pgbouncer",
    "test_claim_order",
    "test_control",
    "test_drain",
    "test_no_job_lost",
    "test_outcomes",
)
DIRECT, POOLED = "direct", "pgbouncer"


class Installation:
    """A migrated database, a door into it, and workers on demand.

    Args:
        dsn: How it is reached.
        options: Settings of its workers, and
        connection: of connections, that `dsn` asks for.
    """

    def __init__(
        self, dsn: str, *, options: Mapping[str, Any] | None = None, connection: Mapping[str, Any] | None = None
    ) -> None:
        self.dsn = dsn
        self._options = options or {}
        self._connection = connection or {}
        self.kinds = Kinds.of_file(FILE)
        self.enqueuer = Enqueuer(self.kinds, hash_keys=(b"test",))

    async def connect(self, *, autocommit: bool = True) -> psycopg.AsyncConnection[Any]:
        """A connection that the caller closes."""
        return await psycopg.AsyncConnection.connect(self.dsn, autocommit=autocommit, **self._connection)

    async def enqueue(self, payload: Message, **options: Any) -> int:
        """Accepts and commits one job; answers its id."""
        async with await self.connect(autocommit=False) as connection:
            return (await self.enqueuer.enqueue_async(connection, NewJob(payload, **options))).job_id

    async def job(self, job_id: int) -> Job:
        """The job as it stands."""
        async with await self.connect() as connection:
            return await get_job_async(connection, job_id)

    async def execute(self, query: Any, params: Any = None) -> list[Any]:
        """Runs a statement; answers its rows."""
        async with await self.connect() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description is not None else []

    async def take_away(self) -> None:
        """Has each job taken from whoever runs it: it is back in line, and its lease is another one."""
        await self.execute(
            "update headrace.jobs set state = 'available', ready_xid = pg_current_xact_id(), lease = lease + 1"
        )

    def handlers(self, **functions: Any) -> Handlers:
        """Handlers by the kind's short name."""
        handlers = Handlers(self.kinds)
        for name, function in functions.items():
            handlers.add(getattr(TestKinds, name), function)
        return handlers

    def worker(self, handlers: Handlers, *, periodic: Sequence[Periodic] = (), **settings: Any) -> Worker:
        """A worker with quick retries, not running yet."""
        return Worker(
            self.dsn,
            handlers,
            settings=WorkerSettings(**{**settings, **self._options}),
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


@pytest.fixture
def messages() -> type[TestKinds]:
    """The message classes of the test kinds."""
    return TestKinds


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs the tests of the claim path twice: directly, and through a real PgBouncer."""
    if "installation" in metafunc.fixturenames and metafunc.module.__name__.endswith(CLAIM_PATH):
        metafunc.parametrize("installation", [DIRECT, POOLED], indirect=True)


@pytest.fixture(scope="session")
def pooler(postgres: Any) -> Iterator[PgBouncer]:
    """A PgBouncer in front of the run's Postgres."""
    if pgbouncer.program_file() is None:
        pytest.skip("PgBouncer is not installed (Debian: pgbouncer)")
    with PgBouncer(postgres.dsn()) as running:
        yield running


@pytest.fixture
def installation(database: str, request: pytest.FixtureRequest) -> Installation:
    """An installation of its own."""
    migrate.up(database)
    if getattr(request, "param", DIRECT) == DIRECT:
        return Installation(database)
    poll = {"listen": False, "poll_interval": timedelta(milliseconds=50)}
    dsn = request.getfixturevalue("pooler").dsn(database)
    return Installation(dsn, options=poll, connection={"prepare_threshold": None})
