"""Waits in tests for what gives no signal: a row in a table, another process."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

Found = TypeVar("Found")
WITHIN = 15.0
PAUSE = 0.02


class Eventually:
    """Calls a condition again and again until it returns something true, and returns that.

    The condition is a function or a coroutine function without arguments. The test fails if nothing true came back
    within so many seconds.
    """

    # `...` for the arguments, as mypy takes a lambda with defaults (`lambda job_id=job_id: ...`) for nothing else.
    @overload
    async def __call__(self, condition: Callable[..., Awaitable[Found | None]], *, within: float = WITHIN) -> Found: ...

    @overload
    async def __call__(self, condition: Callable[..., Found | None], *, within: float = WITHIN) -> Found: ...

    async def __call__(self, condition: Callable[..., Any], *, within: float = WITHIN) -> Any:
        deadline = time.monotonic() + within
        while True:
            found = condition()
            if inspect.isawaitable(found):
                found = await found
            if found:
                return found
            assert time.monotonic() < deadline, _complaint(condition, within)
            await asyncio.sleep(PAUSE)


def wait_until(condition: Callable[..., Found | None], *, within: float = WITHIN) -> Found:
    """Does the same in a test that runs no event loop."""
    deadline = time.monotonic() + within
    while not (found := condition()):
        assert time.monotonic() < deadline, _complaint(condition, within)
        time.sleep(PAUSE)
    return found


def _complaint(condition: Callable[[], object], within: float) -> str:
    return f"not so within {within:g} s: {inspect.getsource(condition).strip()}"
