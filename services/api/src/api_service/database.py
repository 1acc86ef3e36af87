"""The service's database: the metadata of all models, and transactions with a timeout.

If Postgres is down, restarting or hanging, callers get `DatabaseUnavailableError` within the configured time. Nothing
has to be restarted when it is back.
"""

from __future__ import annotations

import asyncio
import os
import select
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import datetime, timedelta

import psycopg
from sqlalchemy import DateTime, MetaData, event, exc
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

metadata = MetaData(
    naming_convention={
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "ck": "%(table_name)s_%(constraint_name)s_check",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "pk": "%(table_name)s_pkey",
    }
)
"""Postgres's names for constraints, so that migrations can name them."""


class Base(DeclarativeBase):
    """The base of every model of this service. Times are timestamptz throughout."""

    metadata = metadata
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own declaration


class DatabaseUnavailableError(Exception):
    """The database is unreachable, hangs, or aborted this transaction. Retry later."""


class StatementFailedError(Exception):
    """The database rejected a statement: a bug in this program, or in its schema.

    It contains no values of rows: Postgres's detail ("Failing row contains …") is left out, because the error is
    logged.

    Attributes:
        sqlstate: Postgres's code, such as "42P01" for a missing table.
    """

    def __init__(self, error: exc.DBAPIError) -> None:
        cause = error.orig
        diagnosis = cause.diag if isinstance(cause, psycopg.Error) else None
        self.sqlstate = (diagnosis.sqlstate if diagnosis else None) or ""
        primary = (diagnosis.message_primary if diagnosis else None) or type(cause).__name__
        super().__init__(f"{self.sqlstate} {primary}, in: {error.statement}")


def sqlalchemy_url(database_url: str) -> URL:
    """Converts a libpq URL (postgresql://…) to one for SQLAlchemy with psycopg 3.

    Raises:
        ValueError: It is invalid. The text doesn't quote it, because it may contain a password.
    """
    try:
        url = make_url(database_url)
    except (exc.ArgumentError, ValueError):
        url = None
    if url is None or url.drivername not in {"postgresql", "postgres", "postgresql+psycopg"} or not url.database:
        raise ValueError("expected postgresql://user:password@host:port/name")
    return url.set(drivername="postgresql+psycopg")


class Database:
    """A bounded pool of connections and the transactions on it."""

    def __init__(self, database_url: str, *, pool_size: int = 10, timeout: timedelta = timedelta(seconds=5)) -> None:
        """Doesn't connect yet: a service starts whether or not its database is available.

        Args:
            database_url: A libpq URL.
            pool_size: Connections held at most.
            timeout: How long a transaction may take, including the wait for a connection.
        """
        self._timeout = timeout.total_seconds()
        milliseconds = int(self._timeout * 1000)
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=self._timeout,
            pool_recycle=1800,
            hide_parameters=True,  # errors are logged, and parameters contain addresses and hashes
            connect_args={
                "application_name": "headrace-api",
                # libpq counts whole seconds and treats 1 as 2.
                "connect_timeout": max(2, round(self._timeout)),
                # A transaction that this process has given up must not keep its locks in the server.
                "options": f"-c statement_timeout={milliseconds} -c idle_in_transaction_session_timeout={milliseconds}",
                "keepalives_idle": 30,
                "keepalives_interval": 10,
                "keepalives_count": 3,
            },
        )
        event.listen(self.engine.sync_engine, "checkout", _refuse_closed_connection)
        self._sessions = async_sessionmaker(self.engine, expire_on_commit=False)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncSession]:
        """Opens a session in a transaction that commits at the end of the block and rolls back on an exception.

        Raises:
            DatabaseUnavailableError: Within the configured timeout, even if the server accepts the connection but never
                responds. A commit in progress may or may not have taken effect.
            StatementFailedError: See there.
        """
        try:
            async with asyncio.timeout(self._timeout) as limit, self._sessions() as session:
                raw = await (await session.connection()).get_raw_connection()
                # From here on the timeout closes the socket. Cancellation alone would make psycopg ask the silent
                # server to cancel the statement, and wait for that.
                deadline = limit.when()
                limit.reschedule(None)
                with _severed_at(deadline, raw.driver_connection):
                    try:
                        yield session
                        await session.commit()
                    except BaseException:
                        await session.rollback()
                        raise
        except TimeoutError as error:
            raise DatabaseUnavailableError(f"no connection within {self._timeout:g} s") from error
        except (*_SQLALCHEMY_UNAVAILABLE, psycopg.OperationalError) as error:
            raise DatabaseUnavailableError(f"{type(error).__name__}: {error}".splitlines()[0]) from error
        except exc.DBAPIError as error:
            raise StatementFailedError(error) from None

    async def dispose(self) -> None:
        """Closes every connection."""
        await self.engine.dispose()


# InternalError holds "cannot execute INSERT in a read-only transaction", as a server returns after a failover.
_SQLALCHEMY_UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)


@contextmanager
def _severed_at(deadline: float | None, connection: psycopg.AsyncConnection[object] | None) -> Iterator[None]:
    """Shuts down the connection's socket at a time of the running loop, unless the block ends before."""
    assert deadline is not None
    assert connection is not None
    timer = asyncio.get_running_loop().call_at(deadline, _sever, connection)
    try:
        yield
    finally:
        timer.cancel()


def _sever(connection: psycopg.AsyncConnection[object]) -> None:
    """Makes code that waits for the server see the end of the stream at once."""
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as stream, suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)


def _refuse_closed_connection(
    dbapi_connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """Makes the pool replace a connection that the server closed while it was idle, without a round trip."""
    connection: psycopg.AsyncConnection[object] | None = dbapi_connection.driver_connection
    if connection is None or connection.closed or _has_input(connection.fileno()):
        raise exc.DisconnectionError("the server closed this connection while it was idle")


def _has_input(descriptor: int) -> bool:
    """Returns whether unrequested data has arrived: the end of the stream, or a message before it."""
    poll = select.poll()  # not select(), which ends at descriptor 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
