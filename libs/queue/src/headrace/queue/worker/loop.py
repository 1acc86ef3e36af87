"""A loop of a worker: one step again and again, through outages."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from headrace.queue.db.reconnect import ReconnectBackoff
from headrace.queue.errors import DatabaseUnavailableError

logger = logging.getLogger(__name__)


async def repeat(
    step: Callable[[], Awaitable[timedelta | None]],
    *,
    every: timedelta,
    name: str,
    wake: asyncio.Event | None = None,
) -> None:
    """Does a step again and again until cancelled, and outlives the database's absence.

    Args:
        step: Answers how long to pause until the next one; None means `every`.
        every: The usual pause, spread by ± 10 % so that replicas don't march in step.
        name: The role, for the log.
        wake: Ends a pause early.
    """
    backoff = ReconnectBackoff()
    while True:
        try:
            pause = await step()
            backoff.reset()
        except DatabaseUnavailableError as away:
            await backoff.wait(logger, f"{name} pauses until Postgres is back: {away}")
            continue
        seconds = (every if pause is None else pause).total_seconds() * random.uniform(0.9, 1.1)
        if wake is None:
            await asyncio.sleep(seconds)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), seconds)
            wake.clear()
