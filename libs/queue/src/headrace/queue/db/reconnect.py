"""The pauses between tries while the database is away."""

from __future__ import annotations

import asyncio
import logging
import random

SHORTEST_WAIT, LONGEST_WAIT = 0.1, 2.0


class ReconnectBackoff:
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
