"""Checks in the background whether the server is ready, so that a probe returns at once."""

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
    """Queries the database once a second and announces every change. Runs until it is cancelled."""
    was: bool | None = None
    while True:
        reason = await _reason_not_ready(database)
        ready = reason is None
        if ready is not was:
            if ready:
                log.info("ready")
            else:
                log.warning("not ready", reason=reason)
            await announce(ready)
            was = ready
        await asyncio.sleep(INTERVAL_SECONDS)


async def _reason_not_ready(database: Database) -> str | None:
    """Looks up a job that can't exist: one index probe, which needs a connection, the tables and permission."""
    try:
        await database.call(get_job_async, MAX_ID)
    except JobNotFoundError:
        return None
    except (DatabaseUnavailableError, psycopg.Error) as error:  # the latter, for example, without permission
        return str(error)
    return None
