"""The pauses between attempts to reach the database while it is unavailable."""

from __future__ import annotations

import asyncio
import logging
import random

from headrace.queue.backoff import exponential_wait

SHORTEST_WAIT, LONGEST_WAIT = 0.1, 2.0


class ReconnectBackoff:
    """Pauses of 0.1 s that double up to 2 s, with jitter.

    They stay short: every other component waits for the database too, so nothing is gained by waiting longer.
    """

    def __init__(self) -> None:
        self._attempts = 0

    def reset(self) -> None:
        """Begins with the shortest pause again. Call it when the database was reached."""
        self._attempts = 0

    async def wait(self, log: logging.Logger, warning: str) -> None:
        """Pauses, each time a little longer. Logs the warning before the first pause only."""
        if self._attempts == 0:
            log.warning("%s", warning)
        self._attempts += 1
        longest = exponential_wait(self._attempts, base=SHORTEST_WAIT, factor=2, cap=LONGEST_WAIT)
        await asyncio.sleep(random.uniform(longest / 2, longest))
