"""Middleware around handlers, for all kinds or for some.

A middleware takes the message, the job and the next call, and returns an outcome, as a handler does. An `async def`
middleware runs on the event loop and wraps handlers of every mode. A plain one wraps plain functions, in their thread
or process. The calls are composed once per worker; without middleware they cost nothing.
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
Returned = TypeVar("Returned")


def wrapped(
    work: Callable[[Any, RunningJob], Returned],
    middleware: Sequence[Callable[[Any, RunningJob, Callable[[Any, RunningJob], Returned]], Returned]],
) -> Callable[[Any, RunningJob], Returned]:
    """Returns the work wrapped in middleware, the first one outermost. Without middleware, returns the work itself."""
    for each in reversed(middleware):
        work = _wrapped_in(each, work)
    return work


def _wrapped_in(
    middleware: Callable[[Any, RunningJob, Callable[[Any, RunningJob], Returned]], Returned],
    call_next: Callable[[Any, RunningJob], Returned],
) -> Callable[[Any, RunningJob], Returned]:
    return lambda message, job: middleware(message, job, call_next)
