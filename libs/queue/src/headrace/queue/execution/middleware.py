"""What is put around the work of handlers: for all kinds, or for some.

A middleware gets the message, the job, and what comes next, and answers an outcome, as a handler does. An `async def`
one runs on the event loop and goes around handlers of every mode. A plain one goes around plain functions, in their
thread or process. The chains are put together once per worker; without middleware there is none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from headrace.queue.execution.outcomes import Outcome
from headrace.queue.execution.running_job import RunningJob

Work = Callable[[Any, RunningJob], Awaitable[Outcome | None]]
PlainWork = Callable[[Any, RunningJob], Outcome | None]
AsyncMiddleware = Callable[[Any, RunningJob, Work], Awaitable[Outcome | None]]
PlainMiddleware = Callable[[Any, RunningJob, PlainWork], Outcome | None]
Answer = TypeVar("Answer")


def wrapped(
    work: Callable[[Any, RunningJob], Answer],
    middleware: Sequence[Callable[[Any, RunningJob, Callable[[Any, RunningJob], Answer]], Answer]],
) -> Callable[[Any, RunningJob], Answer]:
    """The work with middleware around it, the first outermost. Without any, the work itself."""
    for each in reversed(middleware):
        work = _around(each, work)
    return work


def _around(
    middleware: Callable[[Any, RunningJob, Callable[[Any, RunningJob], Answer]], Answer],
    call_next: Callable[[Any, RunningJob], Answer],
) -> Callable[[Any, RunningJob], Answer]:
    return lambda message, job: middleware(message, job, call_next)
