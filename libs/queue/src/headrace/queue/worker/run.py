"""A worker as the whole program: it works until it is told to end, and ends well."""

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
    """Works off jobs until SIGTERM or SIGINT, which is what Ctrl-C sends; then drains, and returns.

    A second signal ends the program at once. The arguments are the worker's. To be called in the main thread, where no
    event loop runs; a program that has one awaits `Worker(...).run()`.

    Raises:
        ValueError: See Worker.
        EnqueueError: See Worker.
        RuntimeError: It is called elsewhere.
    """
    _require_main_thread()
    tune_garbage_collector()
    asyncio.run(_until_signal(dsn, handlers, settings, retry, periodic, schema))


def tune_garbage_collector() -> None:
    """Lets the garbage collector leave alone what is there already, and look for cycles less often.

    For programs that are workers, or that only enqueue, once everything is imported. The objects of a job are freed as
    soon as it has ended; with the collector's defaults, hundreds in flight have it look at them again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def _require_main_thread() -> None:
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError("run_worker waits for signals, which only the main thread can: elsewhere, run a Worker")
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError("run_worker brings an event loop, and one runs here already: await Worker(…).run() in it")


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
    ends = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        worker.stop()
        for number in ends:
            loop.remove_signal_handler(number)

    for number in ends:
        loop.add_signal_handler(number, stop)
    await worker.run()
