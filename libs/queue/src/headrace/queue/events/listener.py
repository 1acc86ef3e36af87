"""Listens for what happens to jobs, in any process that can listen for notifications of the database.

Events are for observers: a console, a test, a metric. The worker that caused an event publishes it after the commit, in
batches about ten times a second, and only while a listener is connected. Events can be missed, and a listener is told
so. What must not be missed belongs in the handler's transaction, or is read from the jobs themselves.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from psycopg.sql import SQL, Identifier

from headrace.queue.db.connections import UNAVAILABLE, Connection, connect
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import DEFAULT_SCHEMA, events_channel, statement
from headrace.queue.events.event import Event, EventsMissed, decode_events

logger = logging.getLogger(__name__)


class EventListener:
    """Listens for the events of all workers.

        async with EventListener(dsn).listen() as events:
            async for event in events:
                match event: ...

    Args:
        dsn: The jobs database, not through a pooler in transaction mode.
        schema: The installation's schema.
    """

    def __init__(self, dsn: str, *, schema: str = DEFAULT_SCHEMA) -> None:
        self._dsn = dsn
        self._schema = schema
        self._channel = Identifier(events_channel(schema))

    @asynccontextmanager
    async def listen(self) -> AsyncGenerator[AsyncIterator[Event | EventsMissed], None]:
        """Listens from the moment it is entered. Reconnects after any outage of the database.

        Raises:
            psycopg.OperationalError: The database is unreachable at the start.
        """
        first = await self._connect()
        events = self._events(first)
        try:
            yield events
        finally:
            await events.aclose()
            await first.close()

    async def _events(self, connection: Connection) -> AsyncGenerator[Event | EventsMissed, None]:
        backoff = ReconnectBackoff()
        reason = "the connection was closed"
        while True:
            try:
                async with connection:
                    async for notification in connection.notifies():
                        for event in decode_events(notification.payload):
                            yield event
            except UNAVAILABLE as error:
                reason = str(error).strip()
            while connection.closed:
                await backoff.wait(logger, f"no events until Postgres is available: {reason}")
                try:
                    connection = await self._connect()
                except UNAVAILABLE as error:
                    reason = str(error).strip()
            backoff.reset()
            yield EventsMissed("the connection was lost")

    async def _connect(self) -> Connection:
        connection = await connect(self._dsn, purpose="events", schema=self._schema)
        try:
            await connection.execute(SQL("listen {}").format(self._channel))
            # While any session holds this lock, workers know that there is a listener.
            await connection.execute(statement("announce_listener", self._schema))
        except BaseException:
            await connection.close()
            raise
        return connection
