"""A worker's row in the workers table."""

from __future__ import annotations

import asyncio
import logging

import psycopg

from headrace.queue.arguments import require_type
from headrace.queue.claiming.pipeline import WorkerIdentity
from headrace.queue.db import migrate
from headrace.queue.db.connections import CONNECT_TIMEOUT, UNAVAILABLE, ReconnectingConnection
from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.db.statements import statement
from headrace.queue.errors import DatabaseUnavailableError, SchemaOutdatedError
from headrace.queue.execution.handlers import Handlers
from headrace.queue.kinds.revisions import register_kinds_async
from headrace.queue.worker.heartbeat import Heartbeat
from headrace.queue.worker.settings import WorkerSettings

logger = logging.getLogger(__name__)


class Registration:
    """Registers a worker: when it starts, and again when it was declared dead but is alive.

    Args:
        dsn: The jobs database.
        connection: The connection for maintenance.
        identity: Gets the id of the worker's row.
        handlers: Their kinds are registered too.
        settings: The worker's settings.
        schema: The installation's schema.
    """

    def __init__(
        self,
        dsn: str,
        connection: ReconnectingConnection,
        identity: WorkerIdentity,
        handlers: Handlers,
        settings: WorkerSettings,
        schema: str,
    ) -> None:
        self._dsn = psycopg.conninfo.make_conninfo(dsn, connect_timeout=CONNECT_TIMEOUT)
        self._connection = connection
        self._identity = identity
        self._handlers = handlers
        self._settings = settings
        self._schema = schema

    async def start(self, heartbeat: Heartbeat, stopping: asyncio.Event) -> bool:
        """Waits until the database is available and migrated, registers kinds and worker, and starts the heartbeat.

        Returns:
            False if `stopping` was set before that.
        """
        backoff = ReconnectBackoff()
        while not stopping.is_set():
            try:
                await asyncio.to_thread(migrate.require_current, self._dsn, schema=self._schema)
                async with self._connection.use() as connection:
                    await register_kinds_async(connection, self._handlers.kinds, schema=self._schema)
                await self._register(heartbeat)
            except (DatabaseUnavailableError, SchemaOutdatedError, *UNAVAILABLE) as error:
                await backoff.wait(logger, f"not ready yet: {str(error).strip()}")
                continue
            logger.info("worker %s claims from %s", self._settings.name, ", ".join(self._handlers.queues))
            return True
        return False

    async def renew(self, heartbeat: Heartbeat) -> None:
        """Registers the worker under a new id, as soon as the database is available."""
        backoff = ReconnectBackoff()
        while True:
            try:
                await self._register(heartbeat)
            except DatabaseUnavailableError as error:
                await backoff.wait(logger, f"the worker registers again when Postgres is available: {error}")
            else:
                return

    async def end(self) -> None:
        """Marks the worker as stopped. Raises DatabaseUnavailableError."""
        params = {"worker_id": self._identity.worker_id}
        await self._connection.execute(statement("stop_worker", self._schema), params)

    async def _register(self, heartbeat: Heartbeat) -> None:
        params = {
            "name": self._settings.name,
            "queues": [queue for queue in self._handlers.queues if self._settings.queue_slots.get(queue) != 0],
            "kinds": list(self._handlers.versions),
            "versions": list(self._handlers.versions.values()),
            "slots": self._settings.slots,
            "enabled": self._settings.enabled,
        }
        [row] = await self._connection.execute(statement("register_worker", self._schema), params)
        self._identity.worker_id = row["id"]
        heartbeat.begin(row["id"])


def require_connection_string(dsn: str) -> None:
    """Checks the form of a connection string. Raises TypeError or ValueError."""
    require_type("a worker", str, dsn=dsn)
    try:
        psycopg.conninfo.conninfo_to_dict(dsn)
    except psycopg.ProgrammingError as error:
        raise ValueError(f"a worker: dsn is not a connection string of Postgres: {error}") from None
