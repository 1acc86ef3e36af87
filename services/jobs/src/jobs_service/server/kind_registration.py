"""Notes in the register of kinds how the server's kinds look, as workers do: once, as soon as Postgres lets it."""

import asyncio

import psycopg
import structlog

from headrace.queue import DatabaseUnavailableError, Kinds, register_kinds_async
from jobs_service.database import Database

log = structlog.get_logger()

RETRY_SECONDS = 1.0


async def register(database: Database, kinds: Kinds) -> None:
    """Registers the kinds, however long Postgres is away, or its tables lack; says why it waits, once."""
    waits = False
    while True:
        try:
            await database.run(lambda connection: register_kinds_async(connection, kinds))
        except (DatabaseUnavailableError, psycopg.Error) as error:  # the latter: no permission, for one
            if not waits:
                log.warning("kinds not registered yet", reason=str(error).strip())
            waits = True
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
