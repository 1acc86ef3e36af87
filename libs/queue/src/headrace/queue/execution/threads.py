"""Runs plain handlers, each in a separate thread.

A thread can't be stopped from outside. It keeps its slot until it returns, so that a job never runs twice at once. The
handler can check `job.stopping`.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.middleware import PlainWork, Work
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.running_job import RunningJob, Stop


def in_thread(work: PlainWork) -> Work:
    """Returns a plain handler as one that can be awaited. A cancellation takes effect when its thread has returned."""

    async def run(message: Any, job: RunningJob) -> Outcome | None:
        job._interruptible = False
        context = contextvars.copy_context()
        try:
            outcome = await _call(lambda: context.run(work, message, job))
        finally:
            job._interruptible = True
        if job.stop_reason is Stop.TIMEOUT:
            raise asyncio.CancelledError
        return outcome

    return run


async def _call(call: Callable[[], Outcome | None]) -> Outcome | None:
    """Makes a call in a thread. It is a daemon: a call that never returns can't keep the process alive."""
    loop = asyncio.get_running_loop()
    # The exception is passed as a value: a future rejects StopIteration, which a careless `next()` raises.
    done: asyncio.Future[tuple[Outcome | None, BaseException | None]] = loop.create_future()

    def settle(result: Outcome | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def run() -> None:
        try:
            result, error = call(), None
        except (Exception, SystemExit, asyncio.CancelledError) as raised:  # noqa: BLE001  (raised again by the caller)
            result, error = None, raised
        except BaseException as raised:  # noqa: BLE001
            # In a thread it is a failed attempt. Raised in the event loop, KeyboardInterrupt would stop the worker.
            result, error = None, AttemptFailedError.of(raised)
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="headrace-job", daemon=True).start()
    result, error = await done
    if error is not None:
        raise error
    return result
