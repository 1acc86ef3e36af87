"""Runs a plan of statements in a caller's own transaction, whatever kind of connection that is.

A plan is a generator that yields statements and is sent their rows; it is written once, and driven here by
blocking or by asynchronous I/O. SQLAlchemy's connections and sessions are taken apart to the psycopg connection
below them, so that the statements belong to the transaction that SQLAlchemy has begun. On a connection in autocommit
mode, outside of any transaction, a plan is a transaction of its own: it is never committed in parts.
"""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from headrace.queue.db.statements import hint

if TYPE_CHECKING:
    from sqlalchemy import Connection as SQLAlchemyConnection
    from sqlalchemy.ext.asyncio import AsyncConnection as SQLAlchemyAsyncConnection
    from sqlalchemy.ext.asyncio import AsyncSession
    from sqlalchemy.orm import Session

    AnyConnection = psycopg.Connection[Any] | SQLAlchemyConnection | Session
    AnyAsyncConnection = psycopg.AsyncConnection[Any] | SQLAlchemyAsyncConnection | AsyncSession

Row = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True)
class Query:
    """A statement to run."""

    text: LiteralString
    params: Mapping[str, Any]
    alone: bool = False
    """It is all that there is of its plan, which then needs no transaction around it: two round trips less."""


@dataclass(frozen=True)
class CopyIn:
    """A COPY FROM STDIN with the blocks to stream, from the format's header to its trailer. Returns no rows."""

    text: LiteralString
    blocks: Iterable[bytes]


Plan = Generator[Query | CopyIn, list[Row], Result]


def run(connection: AnyConnection, plan: Plan[Result]) -> Result:
    """Runs a plan on a blocking connection. Commits nothing that the caller has begun.

    Raises:
        TypeError: The connection is of no kind that is known here.
    """
    driver = psycopg_connection(connection)
    # The class is named, since a connection may have been given cursors with another style of parameters.
    with ExitStack() as whole, psycopg.Cursor(driver, row_factory=dict_row) as cursor:
        rows: list[Row] | None = None
        while True:
            try:
                query = next(plan) if rows is None else plan.send(rows)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if rows is None and commits_each(driver) and not _alone(query):
                whole.enter_context(driver.transaction())
            try:
                _do(cursor, query)
            except psycopg.Error as error:
                hint(error)
                plan.throw(error)  # it may have a word of its own for that
                raise
            rows = [*cursor.fetchall()] if cursor.description else []


async def run_async(connection: AnyAsyncConnection, plan: Plan[Result]) -> Result:
    """Runs a plan on an asynchronous connection. Commits nothing that the caller has begun.

    Raises:
        TypeError: The connection is of no kind that is known here.
    """
    driver = await psycopg_async_connection(connection)
    async with AsyncExitStack() as whole, psycopg.AsyncCursor(driver, row_factory=dict_row) as cursor:
        rows: list[Row] | None = None
        while True:
            try:
                query = next(plan) if rows is None else plan.send(rows)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if rows is None and commits_each(driver) and not _alone(query):
                await whole.enter_async_context(driver.transaction())
            try:
                await _do_async(cursor, query)
            except psycopg.Error as error:
                hint(error)
                plan.throw(error)
                raise
            rows = [*await cursor.fetchall()] if cursor.description else []


def _do(cursor: psycopg.Cursor[Any], query: Query | CopyIn) -> None:
    if isinstance(query, Query):
        cursor.execute(query.text, query.params)
        return
    with cursor.copy(query.text) as copy:
        for block in query.blocks:
            copy.write(block)


async def _do_async(cursor: psycopg.AsyncCursor[Any], query: Query | CopyIn) -> None:
    if isinstance(query, Query):
        await cursor.execute(query.text, query.params)
        return
    async with cursor.copy(query.text) as copy:
        for block in query.blocks:
            await copy.write(block)


def _alone(query: Query | CopyIn) -> bool:
    return isinstance(query, Query) and query.alone


def commits_each(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Whether each statement would be committed by itself: there is no transaction, and none begins by itself."""
    return connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE


def psycopg_connection(connection: Any) -> psycopg.Connection[Any]:
    """The psycopg connection below a blocking connection or session. Raises TypeError."""
    if isinstance(connection, psycopg.Connection):
        return connection
    driver = None
    if not _is_async(connection):
        if hasattr(connection, "get_bind"):  # a Session: its connection, with its transaction begun
            connection = connection.connection()
        elif hasattr(connection, "in_transaction") and not connection.in_transaction():
            connection.begin()  # as SQLAlchemy itself would at the first statement
        driver = getattr(getattr(connection, "connection", None), "driver_connection", None)
    if not isinstance(driver, psycopg.Connection):
        expected = "psycopg.Connection, or a SQLAlchemy Connection or Session over psycopg"
        raise TypeError(_wrong(connection, driver, expected))
    return driver


async def psycopg_async_connection(connection: Any) -> psycopg.AsyncConnection[Any]:
    """The psycopg connection below an asynchronous connection or session. Raises TypeError."""
    if isinstance(connection, psycopg.AsyncConnection):
        return connection
    driver = None
    if _is_async(connection):
        if hasattr(connection, "get_bind"):  # an AsyncSession
            connection = await connection.connection()
        elif not connection.in_transaction():
            await connection.begin()
        driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        expected = "psycopg.AsyncConnection, or a SQLAlchemy AsyncConnection or AsyncSession over psycopg"
        raise TypeError(_wrong(connection, driver, expected))
    return driver


def _is_async(connection: Any) -> bool:
    """Whether it is SQLAlchemy's AsyncConnection or AsyncSession. Told by its methods: SQLAlchemy is optional."""
    if hasattr(connection, "get_raw_connection"):
        return True
    return inspect.iscoroutinefunction(getattr(connection, "connection", None))


def _wrong(connection: object, driver: object, expected: str) -> str:
    over = f" over {_type_name(driver)}" if driver is not None else ""
    return f"it takes a {expected}; this is a {_type_name(connection)}{over}"


def _type_name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
