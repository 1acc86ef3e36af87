"""Runs plain handlers in the thread of the test, where its connections are: Django's, and those of a scoped session."""

from __future__ import annotations

import asyncio
from typing import Any

from headrace.queue.execution.middleware import PlainWork, Work
from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.running_job import RunningJob


def in_calling_thread(work: PlainWork) -> Work:
    """Makes a plain handler one that can be awaited, and blocks the event loop while it runs.

    Meanwhile the thread has no running event loop, as a worker's thread has none: blocking libraries, Django's among
    them, refuse to work where one runs.
    """

    async def run(payload: Any, job: RunningJob) -> Outcome | None:
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)  # noqa: SLF001  (made for event loops and what nests them)
        try:
            return work(payload, job)
        finally:
            asyncio._set_running_loop(loop)  # noqa: SLF001

    return run
