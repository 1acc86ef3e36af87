"""Runs one handler on one payload, in this process and without a database."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

from headrace.queue.errors import KindUnknownError
from headrace.queue.execution.attempt_result import not_an_outcome
from headrace.queue.execution.handlers import Handlers
from headrace.queue.execution.middleware import PlainWork, Work, wrapped
from headrace.queue.execution.outcomes import Done, Outcome
from headrace.queue.execution.running_job import RunningJob, enter_job
from headrace.queue.kinds.kind import Kind


def handled_kind(handlers: Handlers, payload: Any) -> Kind:
    """Returns the kind of a payload or its class.

    Raises:
        KindUnknownError: The kind is unknown, or has no handler.
    """
    kind = handlers.kinds.of(payload)
    if kind not in handlers.handled:
        raise KindUnknownError(kind.name, [each.name for each in handlers.handled])
    return kind


async def run_handler(
    handlers: Handlers,
    payload: Any,
    *,
    attempt: int,
    job_id: int,
    caller: str,
    metadata: Mapping[str, Any] | None,
    schema: str,
    run_plain: Callable[[PlainWork], Work],
) -> Outcome:
    """Runs the handler of a payload; see `Kit.run`."""
    kind = handled_kind(handlers, payload)
    data = kind.codec.encode(payload)
    decoded = kind.codec.check(data)
    job = RunningJob(
        id=job_id,
        lease=attempt,
        kind=kind,
        queue=kind.queue,
        version=kind.version,
        payload_bytes=data,
        attempt=attempt,
        max_retries=kind.max_retries,
        timeout=kind.timeout.total_seconds(),
        caller=caller,
        trace=None,
        metadata=metadata,
        deadline=time.monotonic() + kind.timeout.total_seconds(),
        _schema=schema,
    )
    # A separate task, so that the job is the current one in there alone.
    outcome = await asyncio.create_task(_enter(_work(handlers, kind.name, run_plain), decoded, job))
    if outcome is None:
        return Done()
    if not isinstance(outcome, Outcome):
        raise TypeError(not_an_outcome(outcome))
    return outcome


async def _enter(work: Work, payload: Any, job: RunningJob) -> Outcome | None:
    enter_job(job)
    outcome = await work(payload, job)
    # An async handler in mode "process": its process would await it.
    return await outcome if inspect.isawaitable(outcome) else outcome


def _work(handlers: Handlers, name: str, run_plain: Callable[[PlainWork], Work]) -> Work:
    handler = handlers[name]
    async_middleware, plain_middleware = handlers.middleware_for(handler)
    work = handler.function if handler.mode == "async" else run_plain(wrapped(handler.function, plain_middleware))
    return wrapped(work, async_middleware)
