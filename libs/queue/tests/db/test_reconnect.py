"""The pauses between attempts to reach a database that is unavailable."""

from __future__ import annotations

import asyncio
import logging

import pytest

from headrace.queue.db.reconnect import LONGEST_WAIT, SHORTEST_WAIT, ReconnectBackoff

logger = logging.getLogger(__name__)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were asked for; none of them takes any time."""
    seconds: list[float] = []

    async def sleep(pause: float) -> None:
        seconds.append(pause)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


async def test_pauses_grow_to_two_seconds_and_stay_there_however_long_the_outage_is(pauses: list[float]) -> None:
    backoff = ReconnectBackoff()
    for _ in range(3000):  # more than an hour
        await backoff.wait(logger, "unavailable")
    longest = [min(SHORTEST_WAIT * 2 ** min(attempt, 10), LONGEST_WAIT) for attempt in range(3000)]
    assert all(most / 2 <= pause <= most for pause, most in zip(pauses, longest, strict=True))


async def test_each_outage_is_logged_once_and_begins_with_the_shortest_pause(
    pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    backoff = ReconnectBackoff()
    for text in ("first", "second"):
        for _ in range(5):
            await backoff.wait(logger, text)
        backoff.reset()
    assert [record.getMessage() for record in caplog.records] == ["first", "second"]
    assert max(pauses[0], pauses[5]) <= SHORTEST_WAIT
