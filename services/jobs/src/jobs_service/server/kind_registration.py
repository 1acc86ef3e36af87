"""Registers the server's kinds in the database, as workers do: once, as soon as Postgres is available."""

import asyncio

import psycopg
import structlog

from headrace.queue import DatabaseUnavailableError, Kinds, register_kinds_async
from jobs_service.database import Database

log = structlog.get_logger()

RETRY_SECONDS = 1.0


async def register(database: Database, kinds: Kinds) -> None:
    """Registers the kinds, retrying while Postgres is down or its tables are missing. Logs the reason once."""
    is_logged = False
    while True:
        try:
            await database.call(register_kinds_async, kinds)
        except (DatabaseUnavailableError, psycopg.Error) as error:  # the latter, for example, without permission
            if not is_logged:
                log.warning("kinds not registered yet", reason=str(error).strip())
            is_logged = True
            await asyncio.sleep(RETRY_SECONDS)
        else:
            return
