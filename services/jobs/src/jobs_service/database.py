"""The server's connections to Postgres: a bounded pool, and a time limit for each transaction.

If Postgres is down, stopped or doesn't respond, a transaction fails with `DatabaseUnavailableError` within its time
limit. The next transaction reconnects.
"""

import asyncio
import contextlib
import os
import selectors
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg_pool import AsyncConnectionPool

from headrace.queue import DatabaseUnavailableError

Connection = psycopg.AsyncConnection[Any]
T = TypeVar("T")
P = ParamSpec("P")

# A Postgres server that has become a standby reports that it is read-only, not that it is unavailable.
UNAVAILABLE = (psycopg.OperationalError, psycopg.errors.ReadOnlySqlTransaction)
OUTDATED = (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName)

# For a single poll: the default selector would create a kernel object each time.
_Selector: type[selectors.BaseSelector] = getattr(selectors, "PollSelector", selectors.SelectSelector)

# The pool tries to connect twice, a second apart, and then waits for the next request: a call, or the readiness check
# within a second. With a longer value, the pauses between its attempts would double up to minutes.
RECONNECT_SECONDS = 1.0


class Database:
    """Runs transactions. Enter it before use; it also starts while Postgres is down.

    Args:
        url: The jobs database.
        schema: The installation's schema.
        pool_size: The largest number of connections.
        waiting: How many transactions may wait for one. More fail with `DatabaseUnavailableError` at once.
        timeout: How long a transaction may take, including the wait for a connection.
    """

    def __init__(self, url: str, *, schema: str, pool_size: int, waiting: int, timeout: timedelta) -> None:
        self.schema = schema
        """The installation's schema."""
        self.timeout = timeout.total_seconds()
        """How many seconds a transaction may take."""
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
        """Turns prepared statements off behind a pooler in transaction mode.

        There, each transaction may run in another session: a prepared statement is missing, or another client has
        prepared a different one under the same name. A pooler is recognised because it can't announce the id of the
        Postgres process that will run the query.
        """
        watchdog = asyncio.get_running_loop().call_later(self.timeout, _cut, connection)
        try:
            row = await (await connection.execute("select pg_backend_pid()")).fetchone()
        finally:
            watchdog.cancel()
        if row != (connection.info.backend_pid,):
            connection.prepare_threshold = None

    async def call(
        self, function: Callable[Concatenate[Connection, P], Awaitable[T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Calls a function of the engine in a transaction, for this installation's schema. Raises as `run`."""
        bound: Callable[..., Awaitable[T]] = function
        return await self.run(lambda connection: bound(connection, *args, schema=self.schema, **kwargs))

    async def run(self, work: Callable[[Connection], Awaitable[T]], *, lock_timeout: float | None = None) -> T:
        """Runs `work` in a transaction and commits it, within the time limit.

        If the caller is cancelled, work that has started continues: a query can't be cancelled in bounded time on a
        Postgres server that doesn't respond.

        Args:
            work: Does the work in the transaction.
            lock_timeout: How many seconds it may wait for a lock, if less than for the whole transaction.

        Raises:
            DatabaseUnavailableError: Postgres is down or too slow. The transaction may or may not have committed.
        """
        task = asyncio.create_task(self._run(work, lock_timeout))
        self._working.add(task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Any]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # the caller may be cancelled; otherwise asyncio would log the exception as not retrieved

    async def _run(self, work: Callable[[Connection], Awaitable[T]], lock_timeout: float | None) -> T:
        deadline = asyncio.get_running_loop().time() + self.timeout
        try:
            async with self._connection(deadline) as connection, _transaction(connection, lock_timeout):
                return await work(connection)
        except UNAVAILABLE as error:
            raise DatabaseUnavailableError(f"Postgres is unavailable or too slow: {error}") from error
        except OUTDATED as error:
            raise DatabaseUnavailableError(
                f"the tables in schema {self.schema!r} are missing or outdated: run `headrace migrate up`: {error}"
            ) from error

    @contextlib.asynccontextmanager
    async def _connection(self, deadline: float) -> AsyncIterator[Connection]:
        loop = asyncio.get_running_loop()
        while True:
            connection = await self._pool.getconn(timeout=max(0.0, deadline - loop.time()))
            if not _is_closed(connection):
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
    """Begins a transaction with its lock timeout in one round trip; psycopg's own transactions would take two.

    The timeout applies to the work, not to the commit: a commit that notifies waits for others that notify.
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
        with contextlib.suppress(psycopg.Error):  # raise the first error
            await connection.rollback()
        raise
    await connection.execute(commit, prepare=False)


def _conninfo(url: str, timeout: float) -> str:
    given = conninfo_to_dict(url)
    # Postgres cancels a slow statement before the time limit, so that the connection remains usable.
    limit = f"-c statement_timeout={int(timeout * 750)}ms"
    defaults = {
        "application_name": "jobs-server",
        "connect_timeout": str(max(2, round(timeout))),  # libpq accepts whole seconds, from 2
        **{name: value for name, value in given.items() if value is not None},
        "options": f"{given.get('options') or ''} {limit}".strip(),
    }
    return make_conninfo("", **defaults)


def _is_closed(connection: Connection) -> bool:
    """Reports whether an idle connection is unusable: if it has data to read, Postgres has closed it."""
    if connection.closed:
        return True
    with _Selector() as selector:
        selector.register(connection.fileno(), selectors.EVENT_READ)
        return bool(selector.select(0))


def _cut(connection: Connection) -> None:
    """Shuts the connection's socket down, so that the task that waits for it gets an OperationalError at once.

    Cancelling the task would be slower: psycopg asks Postgres to cancel the query, and waits for that.
    """
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.shutdown(socket.SHUT_RDWR)
