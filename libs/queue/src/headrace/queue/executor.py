"""Runs claimed jobs: each in a task of its own, within its timeout, to one of the outcomes there are.

Whatever a handler does ends in a state that an operator can see: an exception, a timeout and a return value alike.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from google.protobuf.message import DecodeError, Message
from opentelemetry.trace import Span

from headrace.queue import tracing
from headrace.queue.backoff import RetryPolicy
from headrace.queue.completer import COMPLETED, Completer, Decision
from headrace.queue.handlers import Handler, Handlers
from headrace.queue.job import JobState
from headrace.queue.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.running import RunningJob, Stop, enter_job

logger = logging.getLogger(__name__)
MESSAGE_LIMIT = 2_000
TRACEBACK_LIMIT = 8_000
# What a handler may ask for; more would be outside of what Postgres can add to a time.
LONGEST_DELAY = timedelta(days=3660)
HAND_BACK = Decision(JobState.AVAILABLE, spent=False)


class Executor:
    """The worker's running jobs.

    Args:
        handlers: What runs which kind.
        completer: Takes the outcomes.
        policy: The backoff between attempts.
        on_free: Called when a job has left its slot.
    """

    def __init__(
        self, handlers: Handlers, completer: Completer, policy: RetryPolicy, *, on_free: Callable[[], None]
    ) -> None:
        self._handlers = handlers
        self._completer = completer
        self._policy = policy
        self._on_free = on_free
        self._running: dict[int, RunningJob] = {}
        self._per_queue: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """How many jobs are in flight."""
        return len(self._running)

    def running_in(self, queue: str) -> int:
        """How many jobs of a queue are in flight."""
        return self._per_queue[queue]

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether that attempt is in flight here."""
        job = self._running.get(job_id)
        return job is not None and job.lease == lease

    def start(self, job: RunningJob) -> None:
        """Runs a job that was claimed."""
        self._running[job.id] = job
        self._per_queue[job.queue] += 1
        # An empty context: nothing of the worker's own loop reaches the handler.
        job.task = asyncio.get_running_loop().create_task(self._run(job), context=contextvars.Context())

    def cancel(self, job_id: int) -> None:
        """Stops a job that somebody wants cancelled."""
        if job := self._running.get(job_id):
            job.stop(Stop.CANCELLED)

    def stop_all(self, reason: Stop) -> None:
        """Stops every running job."""
        for job in tuple(self._running.values()):
            job.stop(reason)

    async def idle(self) -> None:
        """Waits until no job is in flight."""
        while tasks := [job.task for job in self._running.values() if job.task]:
            await asyncio.wait(tasks)

    async def _run(self, job: RunningJob) -> None:
        try:
            enter_job(job)
            with tracing.attempt_span(job) as span:
                decision = await self._attempt(job, span)
            if job.stop_reason is not Stop.LEASE_LOST:  # then somebody else has it, and this attempt counts for nothing
                self._completer.decide(job, decision)
        finally:
            # Under a lost lease the same job may have come back here with a new one.
            if self._running.get(job.id) is job:
                del self._running[job.id]
            self._per_queue[job.queue] -= 1
            self._on_free()

    async def _attempt(self, job: RunningJob, span: Span) -> Decision:
        if job.stop_reason is not None:  # told to stop before it began
            return self._stopped(job, span)
        handler = self._handlers[job.kind.name]
        try:
            message = job.kind.message_class.FromString(job.payload)
        except DecodeError as error:
            tracing.failed(span, "undecodable")
            return Decision(JobState.QUARANTINED, spent=False, error=_error(job, "undecodable", str(error)))
        loop = asyncio.get_running_loop()
        job.deadline = loop.time() + job.timeout
        alarm = loop.call_at(job.deadline, job.stop, Stop.TIMEOUT)
        try:
            outcome = await self._call(handler, message, job)
            if not handler.is_async and job.stop_reason is Stop.TIMEOUT:
                return self._stopped(job, span)
            return self._decide(job, span, outcome)
        except asyncio.CancelledError:
            if job.stop_reason is None:  # not from the engine: the handler has cancelled itself
                return self._failed(job, span, "CancelledError", "the handler raised CancelledError", "")
            return self._stopped(job, span)
        # Whatever a handler raises, sys.exit() included, is the attempt's outcome.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            if job.stop_reason is not None and job.stop_reason is not Stop.TIMEOUT:
                return self._stopped(job, span)
            text = "".join(traceback.format_exception(error))
            return self._failed(job, span, type(error).__name__, _words(error), text)
        finally:
            alarm.cancel()

    async def _call(self, handler: Handler, message: Message, job: RunningJob) -> Outcome | None:
        if handler.is_async:
            job.interruptible = True
            try:
                result: Outcome | None = await handler.function(message, job)
            finally:
                job.interruptible = False
            return result
        # A thread can't be stopped from outside: it keeps its slot until it returns, so that a job never runs twice at
        # once. It can look at `job.stopping`.
        return await _in_thread(partial(contextvars.copy_context().run, handler.function, message, job))

    def _decide(self, job: RunningJob, span: Span, outcome: Outcome | None) -> Decision:
        match outcome:
            case None | Done():
                return COMPLETED
            case Retry(error=text, after=after):
                return self._failed(job, span, "Retry", text, "", after)
            case Snooze(delay=delay):
                return Decision(JobState.SCHEDULED, spent=False, delay_ms=_ms(delay))
            case Cancel(reason=reason):
                return Decision(JobState.CANCELLED, error=_error(job, "Cancel", reason))
            case Discard(reason=reason):
                tracing.failed(span, "Discard")
                return Decision(JobState.DISCARDED, error=_error(job, "Discard", reason))
        raise TypeError(f"the handler returned {type(outcome).__name__}, which is no outcome")

    def _failed(
        self, job: RunningJob, span: Span, type_: str, message: str, trace: str, after: timedelta | None = None
    ) -> Decision:
        tracing.failed(span, type_)
        error = _error(job, type_, message, trace)
        if job.attempt > job.max_retries:
            logger.error("job %d (%s) is discarded after attempt %d: %s", job.id, job.kind.name, job.attempt, type_)
            return Decision(JobState.DISCARDED, error=error)
        logger.warning("job %d (%s) failed in attempt %d: %s", job.id, job.kind.name, job.attempt, type_)
        delay = self._policy.delay(job.attempt) if after is None else after
        return Decision(JobState.RETRYABLE, delay_ms=_ms(delay), error=error)

    def _stopped(self, job: RunningJob, span: Span) -> Decision:
        match job.stop_reason:
            case Stop.TIMEOUT:
                return self._failed(job, span, "timeout", f"the attempt took longer than its {job.timeout:g} s", "")
            case Stop.CANCELLED:
                tracing.failed(span, "cancelled")
                return Decision(JobState.CANCELLED)
            case _:
                tracing.failed(span, "interrupted")
                return HAND_BACK


async def _in_thread(call: Callable[[], Outcome | None]) -> Outcome | None:
    """Runs a call in a thread of its own. A daemon, so that one that never returns can't keep the process alive."""
    loop = asyncio.get_running_loop()
    # The exception travels as a value: a future refuses StopIteration, which a careless `next()` raises.
    done: asyncio.Future[tuple[Outcome | None, BaseException | None]] = loop.create_future()

    def settle(result: Outcome | None, error: BaseException | None) -> None:
        if not done.done():
            done.set_result((result, error))

    def run() -> None:
        try:
            result, error = call(), None
        except BaseException as raised:  # noqa: BLE001  (handed over to the task that waits)
            result, error = None, raised
        with suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=run, name="headrace-job", daemon=True).start()
    result, error = await done
    if error is not None:
        raise error
    return result


def _ms(delay: timedelta) -> int:
    return int(min(max(delay, timedelta(0)), LONGEST_DELAY) / timedelta(milliseconds=1))


def _words(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001  (a handler's own exception class may be as broken as the handler)
        return "its text can't be read: __str__ itself raised"


def _error(job: RunningJob, type_: str, message: str, trace: str = "") -> dict[str, Any]:
    return {
        "attempt": job.attempt,
        "lease": job.lease,
        "at": datetime.now(UTC).isoformat(),
        "type": type_,
        "message": _storable(str(message))[:MESSAGE_LIMIT],
        "traceback": _storable(trace)[-TRACEBACK_LIMIT:],
    }


def _storable(text: str) -> str:
    """Without the characters that jsonb refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "�").encode(errors="replace").decode()
