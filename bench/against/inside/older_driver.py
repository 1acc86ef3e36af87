"""Runs the driver of a checkout from before it had the cases `enqueue_many` and `enqueue_singly`, and adds them.

It takes the same command line. The names are those of commit ecd185b.
"""

import runpy
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

from bench.drivers import harness


async def enqueue_many(driver: Any, *, jobs: int, batch: int) -> dict[str, Any]:
    """Enqueues `batch` jobs at a time, each batch in its own transaction."""
    module: Any = sys.modules["__main__"]
    ids = [str(uuid4()) for _ in range(jobs)]

    async def enqueue() -> None:
        for start in range(0, jobs, batch):
            new = [module.NewJob(module._payload(id_)) for id_ in ids[start : start + batch]]  # noqa: SLF001
            await driver._door.accept_async(await driver._connect(), new)  # noqa: SLF001

    return await _measured(enqueue)


async def enqueue_singly(driver: Any, *, jobs: int) -> dict[str, Any]:
    """Enqueues one job after the other, each in its own transaction."""
    ids = [str(uuid4()) for _ in range(jobs)]

    async def enqueue() -> None:
        for id_ in ids:
            await driver.enqueue_one(id_)

    return await _measured(enqueue)


async def _measured(enqueue: Callable[[], Awaitable[None]]) -> dict[str, Any]:
    begun, cpu = time.perf_counter(), time.process_time()
    await enqueue()
    return {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - cpu}


harness.CASES.update({"enqueue_many": enqueue_many, "enqueue_singly": enqueue_singly})
runpy.run_module("bench.drivers.headrace", run_name="__main__", alter_sys=True)
