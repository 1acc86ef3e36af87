"""Runs a worker as a whole program, until a signal stops it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Sequence

from headrace.queue.db.statements import DEFAULT_SCHEMA
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.periodic.definition import Periodic
from headrace.queue.worker.settings import WorkerSettings
from headrace.queue.worker.worker import Worker


def run_worker(
    dsn: str,
    handlers: Handlers,
    *,
    settings: WorkerSettings | None = None,
    retry: RetryPolicy | None = None,
    periodic: Sequence[Periodic] = (),
    schema: str = DEFAULT_SCHEMA,
) -> None:
    """Runs jobs until SIGTERM or SIGINT (Ctrl-C), then drains and returns. A second signal ends the program at once.

    Call it in the main thread, while no event loop runs there. In a program with its own event loop, await
    `Worker(...).run()` instead. The arguments are those of Worker.

    Raises:
        ValueError: See Worker.
        EnqueueError: See Worker.
        RuntimeError: It was called in another thread, or in an event loop.
    """
    _require_main_thread()
    tune_garbage_collector()
    asyncio.run(_until_signal(dsn, handlers, settings, retry, periodic, schema))


def tune_garbage_collector() -> None:
    """Has the garbage collector ignore all existing objects, and look for cycles less often.

    For programs that are workers or only enqueue; call it once everything is imported. The objects of a job are freed
    without the collector as soon as it ends. With its defaults, hundreds of running jobs make it look at them again and
    again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run_worker waits for signals, which only the main thread can: in another one, run a Worker")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("run_worker starts an event loop, and one is running here: await Worker(…).run() in it")


async def _until_signal(
    dsn: str,
    handlers: Handlers,
    settings: WorkerSettings | None,
    retry: RetryPolicy | None,
    periodic: Sequence[Periodic],
    schema: str,
) -> None:
    worker = Worker(dsn, handlers, settings=settings, retry=retry, periodic=periodic, schema=schema)
    loop = asyncio.get_running_loop()
    signals = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        worker.stop()
        for number in signals:
            loop.remove_signal_handler(number)

    for number in signals:
        loop.add_signal_handler(number, stop)
    await worker.run()
