"""Listens for notifications that a queue has available jobs, on a separate connection.

Notifications only make claims sooner: the poll finds what they miss. Behind a pooler in transaction mode a session
can't listen, and the worker runs without a notifier.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import psycopg

from headrace.queue.db.connections import UNAVAILABLE, connect
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import ready_channel

logger = logging.getLogger(__name__)


class Notifier:
    """Listens for notifications, and reconnects after any error.

    Args:
        dsn: The jobs database, not through a pooler in transaction mode.
        schema: The installation's schema.
        on_ready: Called with the name of a queue that has available jobs.
        on_connected: Called after each connect, because notifications may have been missed before.
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
            except UNAVAILABLE as error:
                reason = str(error).strip()
                await backoff.wait(logger, f"no notifications until Postgres is available, polling instead: {reason}")
