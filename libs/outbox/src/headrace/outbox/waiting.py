"""Waiting for an event with a limit."""

import asyncio
from datetime import timedelta


async def is_set_within(event: asyncio.Event, length: timedelta) -> bool:
    """Wait until the event is set, at most so long; answer whether it is."""
    try:
        async with asyncio.timeout(length.total_seconds()):
            return await event.wait()
    except TimeoutError:
        return False
