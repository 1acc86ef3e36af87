"""Every kind of connection that a caller may bring, open and in no transaction, behind one interface."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import sqlalchemy
from psycopg.types.json import set_json_loads
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, scoped_session, sessionmaker

from headrace import queue


@dataclass(frozen=True)
class Caller:
    """A connection, whose engine functions are called in the form that fits it."""

    connection: Any
    is_async: bool

    async def call(self, name: str, *args: Any, on: Any = queue, **options: Any) -> Any:
        """Calls a function of the engine, or a method of an object, on the connection."""
        function = getattr(on, f"{name}_async" if self.is_async else name)
        return await _done(function(self.connection, *args, **options))

    async def commit(self) -> None:
        """Commits."""
        await _done(self.connection.commit())

    async def rollback(self) -> None:
        """Rolls back."""
        await _done(self.connection.rollback())


async def _done(result: Any) -> Any:
    return await result if inspect.isawaitable(result) else result


OpenCaller = Callable[[str], AbstractAsyncContextManager[Caller]]


@asynccontextmanager
async def psycopg_connection(dsn: str) -> AsyncIterator[Caller]:
    with psycopg.connect(dsn) as connection:
        yield Caller(connection, is_async=False)


@asynccontextmanager
async def psycopg_async_connection(dsn: str) -> AsyncIterator[Caller]:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        yield Caller(connection, is_async=True)


@asynccontextmanager
async def psycopg_set_up_otherwise(dsn: str) -> AsyncIterator[Caller]:
    """A connection whose cursors, rows and conversion of JSON are not the default ones."""
    with psycopg.connect(dsn, cursor_factory=psycopg.RawCursor, row_factory=psycopg.rows.namedtuple_row) as connection:
        set_json_loads(lambda _: "not JSON", connection)
        yield Caller(connection, is_async=False)


def url(dsn: str) -> str:
    return dsn.replace("postgresql://", "postgresql+psycopg://")


@asynccontextmanager
async def sqlalchemy_connection(dsn: str) -> AsyncIterator[Caller]:
    engine = sqlalchemy.create_engine(url(dsn))
    with engine.connect() as connection:
        yield Caller(connection, is_async=False)
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_session(dsn: str) -> AsyncIterator[Caller]:
    engine = sqlalchemy.create_engine(url(dsn), json_deserializer=str)
    with Session(engine) as session:
        yield Caller(session, is_async=False)
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_scoped_session(dsn: str) -> AsyncIterator[Caller]:
    engine = sqlalchemy.create_engine(url(dsn))
    session = scoped_session(sessionmaker(engine))
    yield Caller(session, is_async=False)
    session.remove()
    engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_connection(dsn: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url(dsn))
    async with engine.connect() as connection:
        yield Caller(connection, is_async=True)
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_session(dsn: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url(dsn), json_deserializer=str)
    async with AsyncSession(engine) as session:
        yield Caller(session, is_async=True)
    await engine.dispose()


@asynccontextmanager
async def sqlalchemy_async_scoped_session(dsn: str) -> AsyncIterator[Caller]:
    engine = create_async_engine(url(dsn))
    session = async_scoped_session(async_sessionmaker(engine), scopefunc=lambda: None)
    yield Caller(session, is_async=True)
    await session.remove()
    await engine.dispose()


CALLERS: list[OpenCaller] = [
    psycopg_connection,
    psycopg_async_connection,
    psycopg_set_up_otherwise,
    sqlalchemy_connection,
    sqlalchemy_session,
    sqlalchemy_scoped_session,
    sqlalchemy_async_connection,
    sqlalchemy_async_session,
    sqlalchemy_async_scoped_session,
]
