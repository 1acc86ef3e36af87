"""Whether the server can answer: watched in the background, so that a probe costs nothing and never waits."""

import asyncio
from collections.abc import Awaitable, Callable

import psycopg
import structlog

from headrace.queue import DatabaseUnavailableError, JobNotFoundError, get_job_async
from jobs_service.convert.jobs import MAX_ID
from jobs_service.database import Database

log = structlog.get_logger()

INTERVAL_SECONDS = 1.0


async def watch_readiness(database: Database, announce: Callable[[bool], Awaitable[None]]) -> None:
    """Asks the database once a second, and announces whenever the answer has changed. Runs until it is cancelled."""
    was: bool | None = None
    while True:
        reason = await _reason_to_wait(database)
        ready = reason is None
        if ready is not was:
            if ready:
                log.info("ready")
            else:
                log.warning("not ready", reason=reason)
            await announce(ready)
            was = ready
        await asyncio.sleep(INTERVAL_SECONDS)


async def _reason_to_wait(database: Database) -> str | None:
    """Looks up a job that can't exist: one index probe, which needs the connection, the tables and the permission."""
    try:
        await database.run(lambda connection: get_job_async(connection, MAX_ID))
    except JobNotFoundError:
        return None
    except (DatabaseUnavailableError, psycopg.Error) as error:  # the latter: no permission, for one
        return str(error)
    return None
