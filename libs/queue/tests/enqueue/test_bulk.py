"""Bulk enqueues by COPY, with the same checks and in the same transaction as everything else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from headrace.queue import NewJob, OptionInvalidError, PayloadInvalidError, RunningJob, TraceParent, Unique

TRACE = TraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a=b", "user=7")


def greetings(count: int, **options: Any) -> Iterator[NewJob]:
    return (NewJob(TestKinds.Greet(name=f"guest {n}"), **options) for n in range(count))


def url(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg://")


@asynccontextmanager
async def psycopg_connection(dsn: str) -> AsyncIterator[Any]:
    with psycopg.connect(dsn) as connection:
        yield connection


@asynccontextmanager
async def psycopg_async_connection(dsn: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield connection


@asynccontextmanager
async def sqlalchemy_connection(dsn: str) -> AsyncIterator[Any]:
    engine = sqlalchemy.create_engine(url(dsn))
    with engine.connect() as connection:
        yield connection
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_session(dsn: str) -> AsyncIterator[Any]:
    engine = sqlalchemy.create_engine(url(dsn))
    with Session(engine) as session:
        yield session
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_connection(dsn: str) -> AsyncIterator[Any]:
    engine = create_async_engine(url(dsn))
    async with engine.connect() as connection:
        yield connection
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_session(dsn: str) -> AsyncIterator[Any]:
    engine = create_async_engine(url(dsn))
    async with AsyncSession(engine) as session:
        yield session
    await engine.dispose()


BLOCKING = [psycopg_connection, sqlalchemy_connection, sqlalchemy_session]
ASYNCHRONOUS = [psycopg_async_connection, sqlalchemy_async_connection, sqlalchemy_async_session]


async def count(installation: Installation) -> int:
    [(jobs,)] = await installation.execute("select count(*) from headrace.jobs")
    return int(jobs)


@pytest.mark.parametrize("open_connection", BLOCKING)
async def test_a_bulk_is_as_durable_as_the_callers_commit(
    open_connection: Callable[..., Any], installation: Installation
) -> None:
    async with open_connection(installation.dsn) as connection:
        assert installation.enqueuer.enqueue_many_fast(connection, greetings(30)) == 30
        assert await count(installation) == 0
        connection.rollback()
        assert installation.enqueuer.enqueue_many_fast(connection, greetings(20)) == 20
        connection.commit()
    assert await count(installation) == 20


@pytest.mark.parametrize("open_connection", ASYNCHRONOUS)
async def test_so_it_is_asynchronously(open_connection: Callable[..., Any], installation: Installation) -> None:
    async with open_connection(installation.dsn) as connection:
        assert await installation.enqueuer.enqueue_many_fast_async(connection, greetings(30)) == 30
        assert await count(installation) == 0
        await connection.rollback()
        assert await installation.enqueuer.enqueue_many_fast_async(connection, greetings(20)) == 20
        await connection.commit()
    assert await count(installation) == 20


async def test_a_bulk_writes_what_accept_writes(installation: Installation) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    jobs = [
        NewJob(TestKinds.Greet(name="Ada"), caller="api", trace=TRACE, tags=["a", "b"], metadata={"c": "Ω"}),
        NewJob(TestKinds.Count(), queue="elsewhere", priority=4, max_retries=0, timeout=timedelta(seconds=1)),
        NewJob(TestKinds.Greet(), run_at=later),
        NewJob(TestKinds.Greet(), run_at=datetime(2020, 1, 1, tzinfo=UTC)),
    ]
    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_async(connection, jobs)
        assert await installation.enqueuer.enqueue_many_fast_async(connection, iter(jobs)) == len(jobs)
    rows = await installation.execute(
        "select to_jsonb(jobs) - array['id', 'created_at', 'ready_at', 'ready_xid'], ready_at = created_at,"
        " ready_xid is null, now() - created_at < interval '1 minute' from headrace.jobs order by id"
    )
    assert rows[: len(jobs)] == rows[len(jobs) :]


async def test_a_job_waits_for_so_long_by_the_clock_of_the_database(installation: Installation) -> None:
    delays = [
        timedelta(hours=1),
        timedelta(milliseconds=1, days=3000),
        timedelta(0),
        timedelta(hours=-1),
        timedelta.min,
    ]
    jobs = [NewJob(TestKinds.Greet(), run_after=delay) for delay in delays]
    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_async(connection, jobs)
        await installation.enqueuer.enqueue_many_fast_async(connection, jobs)
    rows = await installation.execute("select state, due_at - created_at from headrace.jobs order by id")
    waits = [("scheduled", delay) for delay in delays[:2]]
    assert rows == [*waits, *[("available", None)] * 3] * 2


async def test_workers_are_woken_and_run_it_in_its_order(installation: Installation, eventually: Eventually) -> None:
    ran: list[str] = []

    async def greet(message: Any, job: RunningJob) -> None:
        ran.append(message.name)

    worker = installation.worker(installation.handlers(Greet=greet), slots=1, poll_interval=timedelta(seconds=60))
    first = await installation.enqueue(TestKinds.Greet(name="first"))
    async with installation.working(worker):
        await eventually(lambda: installation.is_in(first, "completed"))
        async with await installation.connect(autocommit=False) as connection:
            await installation.enqueuer.enqueue_many_fast_async(connection, greetings(50))

        async def all_ran() -> bool:
            return len(ran) == 51

        await eventually(all_ran)
    assert ran == ["first", *(f"guest {n}" for n in range(50))]


@pytest.mark.parametrize(
    ("bad", "error", "complaint"),
    [
        (NewJob(TestKinds.Greet(name="x" * 101)), PayloadInvalidError, "name must be at most 100 characters"),
        (NewJob(TestKinds.Greet(), priority=9), OptionInvalidError, "priority must be 1"),
        (
            NewJob(TestKinds.Greet(), key="k"),
            OptionInvalidError,
            "idempotency_key can't be looked up in a bulk: use enqueue_many",
        ),
        (
            NewJob(TestKinds.Greet(), unique=Unique()),
            OptionInvalidError,
            "unique can't be looked up in a bulk: use enqueue_many",
        ),
    ],
)
async def test_one_job_that_is_refused_refuses_the_bulk_and_is_named(
    installation: Installation, bad: NewJob, error: type[Exception], complaint: str
) -> None:
    jobs = [*greetings(3), bad, *greetings(3)]
    async with await installation.connect() as connection:
        with pytest.raises(error, match=complaint) as caught:
            await installation.enqueuer.enqueue_many_fast_async(connection, jobs)
        assert caught.value.__notes__ == ["in the bulk's job number 4"]
        assert (
            await installation.enqueuer.enqueue_many_fast_async(connection, greetings(1)) == 1
        )  # the connection is as it was
    with psycopg.connect(installation.dsn) as connection:
        with pytest.raises(error, match=complaint):
            installation.enqueuer.enqueue_many_fast(connection, jobs)
        connection.rollback()
        installation.enqueuer.enqueue_many_fast(connection, greetings(1))
        with pytest.raises(error), connection.transaction():  # a savepoint keeps what was before
            installation.enqueuer.enqueue_many_fast(connection, jobs)
    assert await count(installation) == 2


async def test_an_empty_bulk_is_not_an_error(installation: Installation) -> None:
    async with await installation.connect() as connection:
        assert await installation.enqueuer.enqueue_many_fast_async(connection, []) == 0
