"""Waits for an event with a timeout."""

import asyncio
from datetime import timedelta


async def is_set_within(event: asyncio.Event, length: timedelta) -> bool:
    """Waits until the event is set, at most this long, and returns whether it is."""
    try:
        async with asyncio.timeout(length.total_seconds()):
            return await event.wait()
    except TimeoutError:
        return False
