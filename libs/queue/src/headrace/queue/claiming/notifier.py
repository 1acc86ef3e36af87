"""Listens for queues that got something to do, on a connection of its own.

Notifications only make things faster: what is missed is found by the poll. Behind a pooler in transaction mode, where
nothing can be listened to, the worker runs without.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg

from headrace.queue.db.connections import connect
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import ready_channel

logger = logging.getLogger(__name__)


class Notifier:
    """The worker's ear.

    Args:
        dsn: The jobs database, not through a pooler in transaction mode.
        schema: The installation's schema.
        on_ready: Called with the name of a queue that got something into its line.
        on_connected: Called whenever listening has begun (again): something may have been missed before.
    """

    def __init__(
        self, dsn: str, schema: str, *, on_ready: Callable[[str], None], on_connected: Callable[[], None]
    ) -> None:
        self._dsn = dsn
        self._schema = schema
        self._channel = ready_channel(schema)
        self._on_ready = on_ready
        self._on_connected = on_connected

    async def run(self) -> None:
        """Listens until cancelled."""
        backoff = ReconnectBackoff()
        while True:
            try:
                connection = await connect(self._dsn, purpose="notifications", schema=self._schema)
                async with connection:
                    await connection.execute(psycopg.sql.SQL("listen {}").format(psycopg.sql.Identifier(self._channel)))
                    backoff.reset()
                    self._on_connected()
                    async for notification in connection.notifies():
                        self._on_ready(notification.payload)
            except (psycopg.OperationalError, psycopg.InterfaceError) as error:
                reason = str(error).strip()
                await backoff.wait(logger, f"no notifications until Postgres is back, polling meanwhile: {reason}")
