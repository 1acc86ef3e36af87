"""What the Python drivers share: the cases, each driven the same way through whatever queue there is.

    python -m bench.drivers.<name> <case> <database url> <arguments of the case, as JSON>

prints one JSON object. It needs only the standard library, since each peer has a separate environment.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol
from uuid import uuid4


class Driver(Protocol):
    """A queue, ready to be measured. A job carries one id, and its handler does nothing but say that it began."""

    async def setup(self) -> None:
        """Makes its tables."""

    async def enqueue(self, ids: Sequence[str]) -> None:
        """Enqueues many jobs in one transaction, in the fastest way there is."""

    async def enqueue_one(self, id_: str) -> None:
        """Enqueues a job in a separate transaction."""

    def working(self, began: Callable[[str], None]) -> AbstractAsyncContextManager[None]:
        """A worker at work; at the end of the block it has stopped, and what it did is in the database."""


class ManyDriver(Driver, Protocol):
    """A queue that also enqueues some jobs at a time and returns a result for each."""

    async def enqueue_many(self, ids: Sequence[str]) -> None:
        """Enqueues some jobs in one transaction."""


async def setup(driver: Driver) -> dict[str, Any]:
    """Makes the tables."""
    await driver.setup()
    return {}


async def enqueue(driver: Driver, *, jobs: int) -> dict[str, Any]:
    """Bulk: one transaction of many jobs."""
    return await _measured(driver.enqueue(_ids(jobs)))


async def enqueue_many(driver: ManyDriver, *, jobs: int, batch: int) -> dict[str, Any]:
    """Enqueues `batch` jobs at a time, each batch in its own transaction."""
    ids = _ids(jobs)

    async def batches() -> None:
        for start in range(0, jobs, batch):
            await driver.enqueue_many(ids[start : start + batch])

    return await _measured(batches())


async def enqueue_singly(driver: Driver, *, jobs: int) -> dict[str, Any]:
    """Enqueues one job after the other, each in its own transaction."""
    ids = _ids(jobs)

    async def singly() -> None:
        for id_ in ids:
            await driver.enqueue_one(id_)

    return await _measured(singly())


def _ids(jobs: int) -> list[str]:
    return [str(uuid4()) for _ in range(jobs)]


async def _measured(work: Awaitable[None]) -> dict[str, Any]:
    begun, cpu = time.perf_counter(), time.process_time()
    await work
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}


async def drain(driver: Driver, *, jobs: int) -> dict[str, Any]:
    """Runs queued jobs: from the start of the first one until the last outcome is in the database."""
    count = Count(jobs)
    async with driver.working(count.began):
        await count.reached.wait()
    return {"seconds": time.perf_counter() - count.first, "cpu_seconds": time.process_time() - count.first_cpu}


async def rounds(driver: Driver, *, jobs: int, rounds: int) -> dict[str, Any]:
    """A worker that stays, and round after round of jobs: from their commit until the last one has begun."""
    seconds = []
    count = Count(jobs)
    async with driver.working(count.began):
        for _ in range(rounds):
            count.again(jobs)
            await driver.enqueue(_ids(jobs))
            committed = time.perf_counter()
            await count.reached.wait()
            seconds.append(time.perf_counter() - committed)
    return {"seconds": seconds}


async def latency(driver: Driver, *, jobs: int, per_second: int) -> dict[str, Any]:
    """A worker at rest, and jobs one by one at a steady pace: from before the enqueue until the handler begins."""
    asked: dict[str, float] = {}
    waited: list[float] = []
    warm, done = asyncio.Event(), asyncio.Event()

    def began(id_: str) -> None:
        warm.set()
        if id_ in asked:
            waited.append((time.perf_counter() - asked[id_]) * 1000)
        if len(waited) == jobs:
            done.set()

    async with driver.working(began):
        await driver.enqueue_one(str(uuid4()))
        await warm.wait()
        async for _ in pace(jobs, per_second):
            id_ = str(uuid4())
            asked[id_] = time.perf_counter()
            await driver.enqueue_one(id_)
        await done.wait()
    return {"milliseconds": waited}


class Count:
    """Counts jobs as they begin; notes when the first did."""

    def __init__(self, jobs: int) -> None:
        self.first = self.first_cpu = 0.0
        self.reached = asyncio.Event()
        self.again(jobs)

    def again(self, jobs: int) -> None:
        """Waits for so many more."""
        self._left = jobs
        self.reached.clear()

    def began(self, _: str) -> None:
        """A job has begun."""
        if not self.first:
            self.first, self.first_cpu = time.perf_counter(), time.process_time()
        self._left -= 1
        if self._left == 0:
            self.reached.set()


async def pace(times: int, per_second: int) -> AsyncIterator[None]:
    """Goes on so often a second, whatever the body takes of it."""
    begun = time.perf_counter()
    for turn in range(times):
        await asyncio.sleep(max(0.0, begun + turn / per_second - time.perf_counter()))
        yield


CASES: dict[str, Callable[..., Any]] = {
    "setup": setup, "enqueue": enqueue, "enqueue_many": enqueue_many, "enqueue_singly": enqueue_singly,
    "drain": drain, "rounds": rounds, "latency": latency,
}  # fmt: skip


def main(make: Callable[[str], Driver], run: Callable[..., Any]) -> None:
    """Runs the case that the command line names on a driver, in the event loop of `run`."""
    case, dsn, arguments = sys.argv[1:]

    async def measure() -> dict[str, Any]:
        answer: dict[str, Any] = await CASES[case](make(dsn), **json.loads(arguments))
        return answer

    sys.stdout.write(json.dumps(run(measure())))
