"""One database connection per purpose of the worker, made when it is needed and thrown away on any error.

A worker process holds at most five: claims, outcomes, maintenance, notifications, and the beat thread's own.

What a session keeps (prepared statements, settings) is lost behind a pooler in transaction mode, or left to strangers.
So a pooled connection keeps nothing: each statement goes out in one message with its settings in front, for its
transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, LiteralString, Self

import psycopg
from psycopg.rows import DictRow, Row, dict_row

from headrace.queue.errors import DatabaseUnavailableError

CONNECT_TIMEOUT = 5
# A peer that vanished without a good-bye is noticed within some 15 s, whether a connection is idle or waits for an
# answer. Not used on Unix sockets, where nobody vanishes so.
VIGILANCE: dict[str, Any] = {
    "keepalives_idle": 5,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 15_000,
}
# A statement that takes longer than this on the server is broken off there.
STATEMENT_TIMEOUT = timedelta(seconds=10)
# Then its answer is late, not slow: the client waits longer than the server does.
ANSWER_TIMEOUT = timedelta(seconds=15)

# The errors that mean that Postgres is unavailable. A server that became read-only is the old primary of a failover.
UNAVAILABLE = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction, TimeoutError)

# The hot statements have one good plan each, whatever the statistics say at the moment: from the index, row by row.
SETTINGS = {
    "statement_timeout": str(int(STATEMENT_TIMEOUT / timedelta(milliseconds=1))),
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
}

Connection = psycopg.AsyncConnection[DictRow]


class PooledCursor(psycopg.AsyncClientCursor[Row]):
    """Sends each statement together with the settings that it needs, as one message and so as one transaction."""

    _settings: LiteralString = " ".join(f"set local {name} = {value};" for name, value in SETTINGS.items())

    async def execute(self, query: Any, *args: Any, **kwargs: Any) -> Self:
        """The same as everywhere; the statement must be text, and so is the answer, whatever was asked for."""
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
        **VIGILANCE,
    )
    if pooled:
        connection.cursor_factory = PooledCursor
    return connection


class ReconnectingConnection:
    """One of the worker's connections, reopened after any error. Its statements run one after the other.

    Args:
        dsn: The jobs database.
        purpose: Shown to operators as a part of application_name.
        schema: The installation's schema.
        pooled: The connection leads through a pooler in transaction mode, or may do so.
    """

    def __init__(self, dsn: str, *, purpose: str, schema: str, pooled: bool = False) -> None:
        self._pooled = pooled
        self._dsn = dsn
        self._purpose = purpose
        self._schema = schema
        self._lock = asyncio.Lock()
        self._connection: Connection | None = None
        self.generation = 0
        """Grows with each new connection."""

    @asynccontextmanager
    async def use(self) -> AsyncIterator[Connection]:
        """The connection, alone, for a block that must take no longer than 15 s.

        Raises:
            DatabaseUnavailableError: Postgres can't be reached, broke the connection off, or did not answer in time.
                Whether a statement of the block was committed is not known then.
        """
        async with self._lock:
            try:
                async with asyncio.timeout(ANSWER_TIMEOUT.total_seconds()):
                    connection = self._connection or await self._connect()
                    yield connection
            except UNAVAILABLE as error:
                await self._discard()
                reason = str(error).strip() or f"no answer within {ANSWER_TIMEOUT.total_seconds():.0f} s"
                raise DatabaseUnavailableError(f"{self._purpose}: {reason}") from error
            except BaseException:  # cancelled, or a bug: what the connection is in the middle of is anyone's guess
                await self._discard()
                raise

    async def execute(self, query: Any, params: dict[str, Any] | None = None) -> list[DictRow]:
        """Runs one statement and answers its rows. Raises DatabaseUnavailableError."""
        async with self.use() as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description is not None else []

    async def close(self) -> None:
        """Closes the connection; it would be made anew when needed."""
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
