"""A worker's loop: one step again and again, also after outages of the database."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta

from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)


async def repeat(step: Callable[[], Awaitable[timedelta | None]], *, every: timedelta, name: str) -> None:
    """Repeats a step until cancelled. While the database is unavailable, it tries again after short pauses.

    Args:
        step: Returns the pause until the next one; None means `every`.
        every: The usual pause, ± 10 %, so that workers that started together don't stay in step.
        name: What the step does, for the log.
    """
    backoff = ReconnectBackoff()
    while True:
        try:
            pause = await step()
            backoff.reset()
        except DatabaseUnavailableError as error:
            await backoff.wait(logger, f"{name} pauses until Postgres is available: {error}")
            continue
        await asyncio.sleep((every if pause is None else pause).total_seconds() * random.uniform(0.9, 1.1))
