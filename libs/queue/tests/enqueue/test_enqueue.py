"""Enqueues in the caller's own transaction, whatever library that one is made with."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
import sqlalchemy
from engine_kinds import TestKinds
from installation import Installation
from psycopg import AsyncConnection, Connection
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from headrace.queue import Enqueued, Enqueuer, NewJob


@dataclass
class Caller:
    """A caller's open transaction."""

    connection: Any
    insert_order: Callable[[], Any]
    commit: Callable[[], Any]
    rollback: Callable[[], Any]

    async def act(self, installation: Installation) -> None:
        """Writes a row of the caller's own and a job."""
        await done(self.insert_order())
        blocking = isinstance(self.connection, Connection | sqlalchemy.Connection | Session)
        enqueue = installation.enqueuer.enqueue_many if blocking else installation.enqueuer.enqueue_many_async
        [result] = await done(enqueue(self.connection, [NewJob(TestKinds.Greet(name="Ada"))]))
        assert isinstance(result, Enqueued)


async def done(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


INSERT = "insert into orders values (1)"


@asynccontextmanager
async def psycopg_connection(dsn: str) -> AsyncIterator[Caller]:
    with psycopg.connect(dsn) as connection:
        yield Caller(connection, lambda: connection.execute(INSERT), connection.commit, connection.rollback)


@asynccontextmanager
async def psycopg_with_raw_cursors(dsn: str) -> AsyncIterator[Caller]:
    with psycopg.connect(dsn, cursor_factory=psycopg.RawCursor) as connection:
        yield Caller(connection, lambda: connection.execute(INSERT), connection.commit, connection.rollback)


@asynccontextmanager
async def psycopg_async_connection(dsn: str) -> AsyncIterator[Caller]:
    async with await AsyncConnection.connect(dsn) as connection:
        yield Caller(connection, lambda: connection.execute(INSERT), connection.commit, connection.rollback)


def url(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg://")


@asynccontextmanager
async def sqlalchemy_connection(dsn: str) -> AsyncIterator[Caller]:
    engine = sqlalchemy.create_engine(url(dsn))
    with engine.connect() as own:
        yield Caller(own, lambda: own.execute(sqlalchemy.text(INSERT)), own.commit, own.rollback)
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_session(dsn: str) -> AsyncIterator[Caller]:
    engine = sqlalchemy.create_engine(url(dsn))
    with Session(engine) as own:
        yield Caller(own, lambda: own.execute(sqlalchemy.text(INSERT)), own.commit, own.rollback)
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_connection(dsn: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url(dsn))
    async with engine.connect() as own:
        yield Caller(own, lambda: own.execute(sqlalchemy.text(INSERT)), own.commit, own.rollback)
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_session(dsn: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url(dsn))
    async with AsyncSession(engine) as own:
        yield Caller(own, lambda: own.execute(sqlalchemy.text(INSERT)), own.commit, own.rollback)
    await engine.dispose()


CALLERS = [
    psycopg_connection,
    psycopg_with_raw_cursors,
    psycopg_async_connection,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
]
OpenCaller = Callable[[str], AbstractAsyncContextManager[Caller]]


@pytest.fixture
async def shop(installation: Installation) -> Installation:
    """An installation in a database in which the caller has a table, too."""
    await installation.execute("create table orders (id int)")
    return installation


async def orders_and_jobs(shop: Installation) -> tuple[int, int]:
    rows = await shop.execute("select (select count(*) from orders), (select count(*) from headrace.jobs)")
    counts: tuple[int, int] = rows[0]
    return counts


@pytest.mark.parametrize("open_caller", CALLERS)
async def test_a_job_is_there_with_the_callers_rows_once_they_are_committed(
    open_caller: OpenCaller, shop: Installation
) -> None:
    async with open_caller(shop.dsn) as caller:
        await caller.act(shop)
        assert await orders_and_jobs(shop) == (0, 0)
        await done(caller.commit())
    assert await orders_and_jobs(shop) == (1, 1)


@pytest.mark.parametrize("open_caller", CALLERS)
async def test_a_job_is_gone_with_the_callers_rows_when_they_are_rolled_back(
    open_caller: OpenCaller, shop: Installation
) -> None:
    async with open_caller(shop.dsn) as caller:
        await caller.act(shop)
        await done(caller.rollback())
    assert await orders_and_jobs(shop) == (0, 0)


@pytest.mark.parametrize("open_caller", [sqlalchemy_connection, sqlalchemy_session])
async def test_the_job_may_be_the_first_statement_of_the_transaction(
    open_caller: OpenCaller, shop: Installation
) -> None:
    async with open_caller(shop.dsn) as caller:
        shop.enqueuer.enqueue_many(caller.connection, [NewJob(TestKinds.Greet())])
        caller.rollback()
        shop.enqueuer.enqueue_many(caller.connection, [NewJob(TestKinds.Greet())])
        caller.commit()
    assert await orders_and_jobs(shop) == (0, 1)


async def test_a_job_in_a_savepoint_goes_with_it(shop: Installation) -> None:
    with psycopg.connect(shop.dsn) as connection:
        shop.enqueuer.enqueue_many(connection, [NewJob(TestKinds.Greet(name="kept"))])
        with connection.transaction(force_rollback=True):
            shop.enqueuer.enqueue_many(connection, [NewJob(TestKinds.Greet(name="undone"))])
    assert await orders_and_jobs(shop) == (0, 1)


async def test_on_an_autocommit_connection_a_key_is_never_kept_without_its_job(shop: Installation) -> None:
    await shop.execute(
        "create function refuse() returns trigger language plpgsql as $$ begin raise exception 'disk full'; end $$"
    )
    await shop.execute("create trigger refuse before insert on headrace.jobs for each row execute function refuse()")
    keyed = [NewJob(TestKinds.Greet(), key="a key")]
    async with await shop.connect(autocommit=True) as connection:
        with pytest.raises(psycopg.Error, match="disk full"):
            await shop.enqueuer.enqueue_many_async(connection, keyed)
        await connection.execute("drop trigger refuse on headrace.jobs")
        [result] = await shop.enqueuer.enqueue_many_async(connection, keyed)
    assert isinstance(result, Enqueued)
    assert not result.duplicate
    assert await orders_and_jobs(shop) == (0, 1)


async def test_an_autocommit_connection_inside_a_transaction_commits_with_that(shop: Installation) -> None:
    async with await shop.connect(autocommit=True) as connection, connection.transaction(force_rollback=True):
        await shop.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())])
    assert await orders_and_jobs(shop) == (0, 0)


async def test_blocking_accept_refuses_other_connections_by_name(installation: Installation) -> None:
    job = [NewJob(TestKinds.Greet())]
    async_engine = create_async_engine(url(installation.dsn))
    sqlite = sqlalchemy.create_engine("sqlite://")
    async with (
        await installation.connect() as psycopg_async,
        AsyncSession(async_engine) as session,
        async_engine.connect() as connection,
    ):
        for wrong, text in [
            (psycopg_async, "psycopg.AsyncConnection is asynchronous: use enqueue_many_async instead"),
            (session, "sqlalchemy.ext.asyncio.session.AsyncSession is asynchronous: use enqueue_many_async instead"),
            (connection, "engine.AsyncConnection is asynchronous: use enqueue_many_async instead"),
            (installation.dsn, "or Django's connection, not a builtins.str"),
        ]:
            with pytest.raises(TypeError, match=rf"enqueue_many takes a .*{re.escape(text)}"):
                installation.enqueuer.enqueue_many(wrong, job)  # type: ignore[arg-type]
    with sqlite.connect() as elsewhere, pytest.raises(TypeError, match=r"engine\.base\.Connection over sqlite3"):
        installation.enqueuer.enqueue_many(elsewhere, job)
    await async_engine.dispose()
    sqlite.dispose()


async def test_asynchronous_accept_refuses_other_connections_by_name(installation: Installation) -> None:
    job = [NewJob(TestKinds.Greet())]
    engine = sqlalchemy.create_engine(url(installation.dsn))
    with psycopg.connect(installation.dsn) as plain, engine.connect() as connection, Session(engine) as session:
        for wrong, text in [
            (plain, "psycopg.Connection is blocking: use enqueue_many instead"),
            (connection, "sqlalchemy.engine.base.Connection is blocking: use enqueue_many instead"),
            (session, "sqlalchemy.orm.session.Session is blocking: use enqueue_many instead"),
            (None, "or a SQLAlchemy AsyncConnection or AsyncSession over psycopg, not a builtins.NoneType"),
        ]:
            with pytest.raises(TypeError, match=rf"enqueue_many_async takes .*{re.escape(text)}"):
                await installation.enqueuer.enqueue_many_async(wrong, job)  # type: ignore[arg-type]
    engine.dispose()


async def test_an_enqueuer_without_a_hash_key_is_rejected(installation: Installation) -> None:
    for keys in ((), (b"x" * 65,)):
        with pytest.raises(ValueError, match="hash_keys: give at least one key, each of at most 64 bytes"):
            Enqueuer(installation.kinds, hash_keys=keys)
