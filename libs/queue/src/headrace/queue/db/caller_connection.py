"""The connections that callers bring, and the psycopg connection below each of them.

A caller's transaction is one of the psycopg connection, so the engine's statements run there, and belong to it.
SQLAlchemy and Django are optional: their connections are described by protocols, and recognised by their methods.
"""

from __future__ import annotations

import inspect
from collections.abc import Coroutine
from contextlib import AbstractContextManager
from typing import Any, Protocol

import psycopg
from psycopg.pq import TransactionStatus


class SQLAlchemyConnection(Protocol):
    """SQLAlchemy's `Connection`."""

    @property
    def connection(self) -> Any:
        """The pooled DBAPI connection."""

    def begin(self) -> AbstractContextManager[Any]:
        """Begins the transaction."""


class SQLAlchemySession(Protocol):
    """SQLAlchemy's `Session` or `scoped_session`."""

    def connection(self) -> SQLAlchemyConnection:
        """The connection of the session's transaction."""

    def get_bind(self) -> Any:
        """The engine or connection that it is bound to."""


class SQLAlchemyAsyncConnection(Protocol):
    """SQLAlchemy's `AsyncConnection`."""

    async def get_raw_connection(self) -> Any:
        """The pooled DBAPI connection."""


class SQLAlchemyAsyncSession(Protocol):
    """SQLAlchemy's `AsyncSession` or `async_scoped_session`."""

    def connection(self) -> Coroutine[Any, Any, SQLAlchemyAsyncConnection]:
        """The connection of the session's transaction."""

    def get_bind(self) -> Any:
        """The engine or connection that it is bound to."""


class DjangoConnection(Protocol):
    """Django's `django.db.connection`, or one of `django.db.connections`."""

    connection: Any
    """The psycopg connection; None before the first query."""

    def ensure_connection(self) -> None:
        """Connects, unless it is connected already."""


AnyConnection = psycopg.Connection[Any] | SQLAlchemyConnection | SQLAlchemySession | DjangoConnection
"""A blocking connection over psycopg."""
AnyAsyncConnection = psycopg.AsyncConnection[Any] | SQLAlchemyAsyncConnection | SQLAlchemyAsyncSession
"""An asynchronous connection over psycopg."""

_BLOCKING = "a psycopg Connection, a SQLAlchemy Connection or Session over psycopg, or Django's connection"
_ASYNCHRONOUS = "a psycopg AsyncConnection, or a SQLAlchemy AsyncConnection or AsyncSession over psycopg"


def psycopg_connection(connection: Any, called: str = "") -> psycopg.Connection[Any]:
    """Returns the psycopg connection below a blocking connection or session.

    Args:
        connection: The caller's.
        called: The name of the function that a user of the engine called, for errors.

    Raises:
        TypeError: It is not a blocking connection over psycopg. The text names the asynchronous form where that fits.
    """
    if isinstance(connection, psycopg.Connection):
        return connection
    if _is_async(connection):
        other = f"{called}_async" if called else "the function whose name ends in _async"
        raise TypeError(
            f"{called or 'this function'} takes a blocking connection, and a {_type_name(connection)} is asynchronous: "
            f"use {other} instead"
        )
    driver = None
    if hasattr(connection, "ensure_connection"):  # Django's
        connection.ensure_connection()
        driver = connection.connection
    else:
        if hasattr(connection, "get_bind"):  # a Session: its connection, with its transaction begun
            connection = connection.connection()
        elif hasattr(connection, "in_transaction") and not connection.in_transaction():
            connection.begin()  # as SQLAlchemy itself would at the first statement
        driver = getattr(getattr(connection, "connection", None), "driver_connection", None)
    if not isinstance(driver, psycopg.Connection):
        raise TypeError(_wrong(connection, driver, f"{called or 'this function'} takes {_BLOCKING}"))
    return driver


async def psycopg_async_connection(connection: Any, called: str = "") -> psycopg.AsyncConnection[Any]:
    """Returns the psycopg connection below an asynchronous connection or session.

    Args:
        connection: The caller's.
        called: The name of the function that a user of the engine called, for errors.

    Raises:
        TypeError: It is not an asynchronous connection over psycopg. The text names the blocking form where that fits.
    """
    if isinstance(connection, psycopg.AsyncConnection):
        return connection
    if _is_blocking(connection):
        other = called.removesuffix("_async") if called else "the function whose name lacks _async"
        raise TypeError(
            f"{called or 'this function'} takes an asynchronous connection, and a {_type_name(connection)} is "
            f"blocking: use {other} instead"
        )
    driver = None
    if _is_async(connection):
        if hasattr(connection, "get_bind"):  # an AsyncSession
            connection = await connection.connection()
        elif not connection.in_transaction():
            await connection.begin()
        driver = (await connection.get_raw_connection()).driver_connection
    if not isinstance(driver, psycopg.AsyncConnection):
        raise TypeError(_wrong(connection, driver, f"{called or 'this function'} takes {_ASYNCHRONOUS}"))
    return driver


def commits_each(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any]) -> bool:
    """Returns whether each statement would be committed by itself: in autocommit mode, outside of a transaction."""
    return connection.autocommit and connection.info.transaction_status == TransactionStatus.IDLE


def _is_async(connection: Any) -> bool:
    if isinstance(connection, psycopg.AsyncConnection) or hasattr(connection, "get_raw_connection"):
        return True
    return inspect.iscoroutinefunction(getattr(connection, "connection", None))


def _is_blocking(connection: Any) -> bool:
    if isinstance(connection, psycopg.Connection):
        return True
    return not _is_async(connection) and hasattr(connection, "connection")


def _wrong(connection: object, driver: object, expected: str) -> str:
    over = f" over {_type_name(driver)}" if driver is not None else ""
    return f"{expected}, not a {_type_name(connection)}{over}"


def _type_name(thing: object) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
