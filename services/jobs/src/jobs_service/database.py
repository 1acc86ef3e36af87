"""The server's way to Postgres: a bounded pool, and a bounded time for each piece of work.

A Postgres that is away, stopped, or does not answer ends a piece of work with `DatabaseUnavailableError` in time, and
the next one finds the way back by itself.
"""

import asyncio
import contextlib
import os
import selectors
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from headrace.queue import DatabaseUnavailableError

Connection = psycopg.AsyncConnection[Any]
T = TypeVar("T")

# A Postgres that has become a standby says that it is read-only, rather than that it is away.
AWAY = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
BEHIND = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)

# For a single look: the default one would be made in the kernel, and taken away again.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

# The pool tries to connect twice, a second apart, and then waits to be asked again: the next call or the readiness
# probe does so within a second. With its own patience, the pauses between its tries would double up to minutes.
RECONNECT_SECONDS = 1.0


class Database:
    """Runs work in transactions of its own. To be entered before use; starts also while Postgres is away."""

    def __init__(self, url: str, *, pool_size: int, waiting: int, timeout: timedelta) -> None:
        """Prepares the pool.

        Args:
            url: The jobs database.
            pool_size: The most connections.
            waiting: How much work may wait for one; more ends with `DatabaseUnavailableError` at once.
            timeout: How long a piece of work may take, waiting included.
        """
        self.timeout = timeout.total_seconds()
        """Seconds that a piece of work may take."""
        self._working: set[asyncio.Task[Any]] = set()
        self._pool: AsyncConnectionPool[Connection] = AsyncConnectionPool(
            _conninfo(url, self.timeout),
            kwargs={"autocommit": True},
            min_size=min(2, pool_size),
            max_size=pool_size,
            max_waiting=waiting,
            timeout=self.timeout,
            reconnect_timeout=RECONNECT_SECONDS,
            configure=self._configure,
            name="jobs-server",
            open=False,
        )

    async def __aenter__(self) -> Self:
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._working:
            await asyncio.wait(self._working)
        await self._pool.close()

    async def _configure(self, connection: Connection) -> None:
        """Has nothing prepared in the sessions of a pooler in transaction mode.

        A session is nobody's there: a statement that was prepared in it is missing in the next one, or, worse, somebody
        else's of that name is there. A pooler shows: it can't tell beforehand which process of Postgres' will answer.
        """
        watchdog = asyncio.get_running_loop().call_later(self.timeout, _cut, connection)
        try:
            row = await (await connection.execute("select pg_backend_pid()")).fetchone()
        finally:
            watchdog.cancel()
        if row != (connection.info.backend_pid,):
            connection.prepare_threshold = None

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, lock_timeout: float | None = None) -> T:
        """Runs `work` in a transaction and commits it, within the time limit, waiting for a connection included.

        Work that has begun goes on when the caller is cancelled: a query can't be taken back in bounded time from a
        Postgres that doesn't answer.

        Args:
            work: What is to be done in the transaction.
            lock_timeout: How many seconds it may wait for a lock, if that is to be less than for all of it.

        Raises:
            DatabaseUnavailableError: Postgres is away or too slow. What was asked may or may not have happened.
        """
        task = asyncio.create_task(self._run(work, lock_timeout))
        self._working.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # nobody else may be there any more to see it

    async def _run(self, work: Callable[[Connection], Awaitable[T]], lock_timeout: float | None) -> T:
        deadline = asyncio.get_running_loop().time() + self.timeout
        try:
            async with self._connection(deadline) as connection, _transaction(connection, lock_timeout):
                return await work(connection)
        except AWAY as error:
            raise DatabaseUnavailableError(f"Postgres is away or too slow: {error}") from error
        except BEHIND as error:
            raise DatabaseUnavailableError(
                f"the tables are older than this server needs: run `headrace migrate up`: {error}"
            ) from error

    @contextlib.asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncIterator[Connection]:
        loop = asyncio.get_running_loop()
        while True:
            connection = await self._pool.getconn(timeout=max(0.0, deadline - loop.time()))
            if not _is_hung_up(connection):
                break
            await connection.close()
            await self._pool.putconn(connection)
        watchdog = loop.call_at(deadline, _cut, connection)
        try:
            yield connection
        finally:
            watchdog.cancel()
            await self._pool.putconn(connection)


@contextlib.asynccontextmanager
async def _transaction(connection: Connection, lock_timeout: float | None) -> AsyncIterator[None]:
    """A transaction with its setting: psycopg's own would take a round trip more for that.

    The setting is for what the work needs, not for the commit: one that notifies waits for all others that do.
    """
    if lock_timeout is None:
        begin, commit = "begin", "commit"
    else:
        begin = f"begin; set local lock_timeout = {round(lock_timeout * 1000)}"
        commit = "set local lock_timeout = 0; commit"
    await connection.execute(begin, prepare=False)
    try:
        yield
    except BaseException:
        with contextlib.suppress(psycopg.Error):  # what went wrong first is raised
            await connection.rollback()
        raise
    await connection.execute(commit, prepare=False)


def _conninfo(url: str, timeout: float) -> str:
    given = conninfo_to_dict(url)
    # Postgres itself gives up first, so that the connection survives a statement that is merely slow.
    limit = f"-c statement_timeout={int(timeout * 750)}ms"
    defaults = {
        "application_name": "jobs-server",
        "connect_timeout": str(max(2, round(timeout))),  # libpq knows whole seconds, from 2
        **{name: value for name, value in given.items() if value is not None},
        "options": f"{given.get('options') or ''} {limit}".strip(),
    }
    return make_conninfo("", **defaults)


def _is_hung_up(connection: Connection) -> bool:
    """Says whether an idle connection has something to read: then it is Postgres' good-bye, or the end itself."""
    if connection.closed:
        return True
    with _Selector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def _cut(connection: Connection) -> None:
    """Ends what a connection is waiting for.

    Not by cancelling: psycopg would ask Postgres to cancel the query, and wait for it. The socket's end wakes the
    waiting task at once, with an OperationalError.
    """
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
