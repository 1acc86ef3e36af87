"""How a role of the worker keeps going: step by step, at its own pace, through outages of the database."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

from headrace.queue.errors import DatabaseAway

logger = logging.getLogger(__name__)
SHORTEST_WAIT, LONGEST_WAIT = 0.1, 2.0


class Backoff:
    """The pauses between tries while the database is away: from 0.1 s up to 2 s, spread by chance.

    They stay short, since everything else in the system waits for the same return.
    """

    def __init__(self) -> None:
        self._tries = 0

    def reset(self) -> None:
        """It worked."""
        self._tries = 0

    async def wait(self, log: logging.Logger, complaint: str) -> None:
        """Waits a little longer than the last time; complains on the first time only."""
        if self._tries == 0:
            log.warning("%s", complaint)
        longest = min(SHORTEST_WAIT * 2**self._tries, LONGEST_WAIT)
        self._tries += 1
        await asyncio.sleep(random.uniform(longest / 2, longest))


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
    backoff = Backoff()
    while True:
        try:
            pause = await step()
            backoff.reset()
        except DatabaseAway as away:
            await backoff.wait(logger, f"{name} pauses until Postgres is back: {away}")
            continue
        seconds = (every if pause is None else pause).total_seconds() * random.uniform(0.9, 1.1)
        if wake is None:
            await asyncio.sleep(seconds)
        else:
            with suppress(TimeoutError):
                await asyncio.wait_for(wake.wait(), seconds)
            wake.clear()
