"""Transactions on the outbox, with a timeout."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

# Errors of a database that is unavailable, restarting, or not migrated yet. All of them may be temporary.
DATABASE_ERRORS = (SQLAlchemyError, OSError, TimeoutError)


class Database:
    """The caller's engine, with the isolation level that the statements are written for.

    Args:
        engine: The caller's engine; its pool is shared.
        timeout: How long one transaction may take, including the wait for a connection.
    """

    def __init__(self, engine: AsyncEngine, timeout: timedelta) -> None:
        self._engine = engine.execution_options(isolation_level="READ COMMITTED")
        self._timeout = timeout.total_seconds()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """Opens a transaction that commits at the end of the block.

        Raises:
            TimeoutError: It took too long; the connection is closed.
            SQLAlchemyError: The database returned an error.
        """
        async with asyncio.timeout(self._timeout), self._engine.begin() as connection:
            yield connection
