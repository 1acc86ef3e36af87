"""The service's own database: the metadata every model hangs on, and transactions that end in bounded time.

A Postgres that is down, restarting or hanging shows as `DatabaseUnavailableError` within the configured time;
nothing has to be restarted when it is back.
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
"""Postgres' own names for constraints, so that migrations can name them."""


class Base(DeclarativeBase):
    """The base of every model of this service. Times are timestamptz throughout."""

    metadata = metadata
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012 - SQLAlchemy's own declaration


class DatabaseUnavailableError(Exception):
    """The database can't be reached, hangs, or gave up this transaction. Trying again later may work."""


class StatementFailedError(Exception):
    """The database refused a statement for what it says: a fault of this program, or of its schema.

    It holds no value of any row; what Postgres itself adds ("Failing row contains …") is left out, for it gets logged.

    Attributes:
        sqlstate: Postgres' code, such as "42P01" for a table that isn't there.
    """

    def __init__(self, error: exc.DBAPIError) -> None:
        cause = error.orig
        diagnosis = cause.diag if isinstance(cause, psycopg.Error) else None
        self.sqlstate = (diagnosis.sqlstate if diagnosis else None) or ""
        primary = (diagnosis.message_primary if diagnosis else None) or type(cause).__name__
        super().__init__(f"{self.sqlstate} {primary}, in: {error.statement}")


def sqlalchemy_url(database_url: str) -> URL:
    """Reads a libpq URL (postgresql://…) as one for SQLAlchemy with psycopg 3.

    Raises:
        ValueError: It is none. The text doesn't repeat it, for it may hold a password.
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
        """Connects nowhere yet: a service starts whether or not its database is there.

        Args:
            database_url: A libpq URL.
            pool_size: Connections held at most.
            timeout: How long a transaction may take, waiting for a connection included.
        """
        self._timeout = timeout.total_seconds()
        milliseconds = int(self._timeout * 1000)
        self.engine: AsyncEngine = create_async_engine(
            sqlalchemy_url(database_url),
            pool_size=pool_size,
            max_overflow=0,
            pool_timeout=self._timeout,
            pool_recycle=1800,
            hide_parameters=True,  # errors are logged, and parameters hold addresses and hashes
            connect_args={
                "application_name": "headrace-api",
                # libpq counts whole seconds and takes 1 as 2.
                "connect_timeout": max(2, round(self._timeout)),
                # What this process has given up on must not go on holding locks in the server.
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
        """A session in a transaction that commits at the end of the block and rolls back on an exception.

        Raises:
            DatabaseUnavailableError: Within the configured timeout, also when the server takes the connection but never
                returns. Whether a commit under way took effect is then unknown.
            StatementFailedError: See there.
        """
        try:
            async with asyncio.timeout(self._timeout) as limit, self._sessions() as session:
                raw = await (await session.connection()).get_raw_connection()
                # From here on the time limit closes the socket. Cancelling alone would make psycopg ask the silent
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


# InternalError holds "cannot execute INSERT in a read-only transaction", as a server answers after a failover.
_SQLALCHEMY_UNAVAILABLE = (exc.OperationalError, exc.InterfaceError, exc.InternalError, exc.TimeoutError)


@contextmanager
def _severed_at(deadline: float | None, connection: psycopg.AsyncConnection[object] | None) -> Iterator[None]:
    """Shuts the connection's socket down at a time of the running loop, unless the block ends before."""
    assert deadline is not None
    assert connection is not None
    timer = asyncio.get_running_loop().call_at(deadline, _sever, connection)
    try:
        yield
    finally:
        timer.cancel()


def _sever(connection: psycopg.AsyncConnection[object]) -> None:
    """Makes whatever waits for the server's answer see the end of the stream at once."""
    if connection.closed:
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as stream, suppress(OSError):
        stream.shutdown(socket.SHUT_RDWR)


def _refuse_closed_connection(
    dbapi_connection: DBAPIConnection, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection
) -> None:
    """Lets the pool replace a connection that the server has closed while it was idle, without a round trip."""
    connection: psycopg.AsyncConnection[object] | None = dbapi_connection.driver_connection
    if connection is None or connection.closed or _has_input(connection.fileno()):
        raise exc.DisconnectionError("the server closed this connection while it was idle")


def _has_input(descriptor: int) -> bool:
    """Whether something arrived that nobody asked for: the end of the stream, or the server's words before it."""
    poll = select.poll()  # not select(), which ends at descriptor 1023
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
