"""A worker's database connections: one per purpose, opened when it is needed and closed on any error.

A worker process has at most five: claims, outcomes, maintenance, notifications, and the heartbeat thread's.

Behind a pooler in transaction mode, the state of a session (prepared statements, settings) is lost, or seen by other
clients. So a pooled connection keeps no state: each statement is sent in one message together with its settings, which
hold for its transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import DictRow, Row, dict_row

from headrace.queue.db.cursors import ADAPTERS
from headrace.queue.errors import DatabaseUnavailableError

CONNECT_TIMEOUT = 5
# A peer that vanished without closing the connection is noticed within about 15 s, whether the connection is idle or
# waits for a result. Unix sockets ignore these settings, and don't need them.
KEEPALIVE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
# The server cancels a statement that takes longer than this.
STATEMENT_TIMEOUT = timedelta(seconds=10)
# The client waits longer than that: a result that is not there by then is lost, not slow.
RESULT_TIMEOUT = timedelta(seconds=15)

# The errors that mean that Postgres is unavailable. A server that became read-only is the old primary of a failover.
UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction, TimeoutError)

# Each hot statement has one good plan, whatever the statistics are at the moment: row by row from its index.
SETTINGS = {
    "statement_timeout": str(int(STATEMENT_TIMEOUT / timedelta(milliseconds=1))),
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}

Connection = psycopg.AsyncConnection[DictRow]


class PooledCursor(psycopg.AsyncClientCursor[Row]):
    """Sends each statement together with the settings that it needs, in one message and therefore one transaction."""

    _settings: LiteralString = " ".join(f"set local {name} = {value};" for name, value in SETTINGS.items())

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Self:
        """Runs a statement. The statement must be text, and so are its results, whatever format was requested."""
        await super().execute(self._settings + query, *args, **{**kwargs, "binary": False})
        await self.set_result(-1)
        return self


async def connect(dsn: str, *, purpose: str, schema: str, pooled: bool = False) -> Connection:
    """Opens a connection, in autocommit mode. Raises psycopg.OperationalError."""
    connection = await psycopg.AsyncConnection.connect(
        dsn,
        autocommit=True,
        prepare_threshold=None if pooled else 1,
        row_factory=dict_row,
        application_name=f"{schema} {purpose}",
        connect_timeout=CONNECT_TIMEOUT,
        context=ADAPTERS,
        **KEEPALIVE,
    )
    if pooled:
        connection.cursor_factory = PooledCursor
    return connection


class ReconnectingConnection:
    """One of the worker's connections, opened again after any error. Its statements run one after the other.

    Args:
        dsn: The jobs database.
        purpose: Shown to operators as a part of application_name.
        schema: The installation's schema.
        pooled: Whether the connection may lead through a pooler in transaction mode.
    """

    def __init__(self, dsn: str, *, purpose: str, schema: str, pooled: bool = False) -> None:
        self._pooled = pooled
        self._dsn = dsn
        self._purpose = purpose
        self._schema = schema
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self.generation = 0
        """The number of connections so far."""

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """Gives a block exclusive use of the connection. The block must take no longer than 15 s.

        Raises:
            DatabaseUnavailableError: Postgres is unreachable, closed the connection, or did not respond in time.
                Whether a statement of the block was committed is unknown.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(RESULT_TIMEOUT.total_seconds()):
                    connection = self._connection or await self._connect()
                    yield connection
            except UNAVAILABLE as error:
                await self._discard()
                reason = str(error).strip() or f"no response within {RESULT_TIMEOUT.total_seconds():.0f} s"
                raise DatabaseUnavailableError(f"{self._purpose}: {reason}") from error
            except BaseException:  # cancelled, or a bug: the connection may be in the middle of anything
                await self._discard()
                raise

    async def execute(self, query: Any, params: dict[str, Any] | None = None) -> list[DictRow]:
        """Runs one statement and returns its rows. Raises DatabaseUnavailableError."""
        async with self.use() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description is not None else []

    async def close(self) -> None:
        """Closes the connection. The next use opens another one."""
        await self._discard()

    async def _connect(self) -> Connection:
        connection = await connect(self._dsn, purpose=self._purpose, schema=self._schema, pooled=self._pooled)
        self._connection = connection
        self.generation += 1
        if not self._pooled:
            await connection.execute("; ".join(f"set {name} = {value}" for name, value in SETTINGS.items()))
        return connection

    async def _discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
