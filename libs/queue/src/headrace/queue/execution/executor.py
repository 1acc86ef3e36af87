"""Runs claimed jobs: each in a task of its own, within its timeout, to one of the outcomes there are.

Whatever a handler does ends in a state that an operator can see: an exception, a timeout and a return value alike.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from opentelemetry.trace import INVALID_SPAN, Span

from headrace.queue import tracing
from headrace.queue.db.jsonb import encoded
from headrace.queue.errors import PayloadUnreadableError
from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.attempt_result import COMPLETED, RELEASE, AttemptResult
from headrace.queue.execution.handlers import Handler, Handlers
from headrace.queue.execution.middleware import PlainWork, Work, wrapped
from headrace.queue.execution.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.execution.processes.pool import ProcessPool
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import OUTPUT_LIMIT, Home, RunningJob, Stop, enter_job
from headrace.queue.execution.threads import in_thread
from headrace.queue.execution.timeouts import TimeoutWatcher
from headrace.queue.job import JobState
from headrace.redaction import begin_redaction, redact, redacted_text

logger = logging.getLogger(__name__)
MESSAGE_LIMIT = 2_000
TRACEBACK_LIMIT = 8_000
# What a handler may ask for; more would be outside of what Postgres can add to a time.
LONGEST_DELAY = timedelta(days=3660)
# Looked up once, not for each job: before Python 3.12 a member of an enum is slow to find.
_TIMEOUT, _LEASE_LOST = Stop.TIMEOUT, Stop.LEASE_LOST


class Outcomes(Protocol):
    """Takes what became of attempts."""

    def record(self, job: RunningJob, decision: AttemptResult) -> None:
        """An attempt has come to an outcome."""


class OwnCompletions(Protocol):
    """Takes the attempts that have completed their jobs themselves, in transactions that may still be open."""

    def take(self, job: RunningJob, otherwise: AttemptResult) -> None:
        """An attempt has ended; `otherwise` is its outcome if its transaction is rolled back."""

    def holds(self, job_id: int, lease: int) -> bool:
        """Whether it is not known yet what became of that attempt."""


class Executor:
    """The worker's running jobs.

    Args:
        handlers: What runs which kind.
        completer: Takes the outcomes.
        witness: Takes the attempts that have completed their jobs themselves.
        policy: The backoff between attempts.
        home: What the jobs' own calls need.
        freed: Set whenever a job has left its slot.
        run_plain: Makes a plain handler one that can be awaited.

    Raises:
        ValueError: A middleware can't go around one of the handlers.
    """

    def __init__(
        self,
        handlers: Handlers,
        completer: Outcomes,
        commit_watcher: OwnCompletions,
        policy: RetryPolicy,
        *,
        home: Home,
        freed: asyncio.Event,
        run_plain: Callable[[PlainWork], Work] = in_thread,
    ) -> None:
        self._handlers = handlers
        self._run_plain = run_plain
        self._timeouts = TimeoutWatcher()
        self._processes = ProcessPool(home.schema, self._timeouts)
        self._work = {kind.name: self._compose(handlers[kind.name]) for kind in handlers.handled}
        self._completer = completer
        self._commit_watcher = commit_watcher
        self._policy = policy
        self._home = home
        self._freed = freed
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
        """Whether that attempt is in flight here, or has completed its job in a transaction that may still be open."""
        job = self._running.get(job_id)
        return (job is not None and job.lease == lease) or self._commit_watcher.holds(job_id, lease)

    def take(self, jobs: Iterable[RunningJob]) -> None:
        """Takes jobs that were claimed: they are in flight, can be stopped, and are to begin soon."""
        for job in jobs:
            job.home = self._home
            self._running[job.id] = job
            self._per_queue[job.queue] += 1

    def begin(self, jobs: Iterable[RunningJob]) -> None:
        """Runs jobs that it has taken. One that was told to stop since then ends before its handler."""
        new_task = _task_maker()
        traced = tracing.records()
        for job in jobs:
            # An empty context: nothing of the worker's own loop reaches the handler.
            job.task = new_task(self._run(job, traced=traced), name=job.kind.name, context=contextvars.Context())

    def cancel(self, job_id: int) -> bool:
        """Stops a job that somebody wants cancelled; answers whether it is in flight here."""
        job = self._running.get(job_id)
        if job is not None:
            job.stop(Stop.CANCELLED)
        return job is not None

    def stop_all(self, reason: Stop) -> None:
        """Stops every running job."""
        for job in tuple(self._running.values()):
            job.stop(reason)

    def give_up(self) -> int:
        """Hands back what does not stop, at the very end; answers how many jobs. Their outcomes count for nothing.

        Only threads are so stubborn, and they end with the process. One that is about to commit its own completion is
        waited for by the database: its row is locked.
        """
        stubborn = tuple(self._running.values())
        for job in stubborn:
            job.stop_reason = Stop.LEASE_LOST
            self._completer.record(job, RELEASE)
        return len(stubborn)

    async def idle(self) -> None:
        """Waits until no job is in flight."""
        while tasks := [job.task for job in self._running.values() if job.task]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Ends the processes of handlers."""
        await self._processes.close()

    async def _run(self, job: RunningJob, *, traced: bool) -> None:
        try:
            enter_job(job)
            begin_redaction()
            if traced or job.trace is not None:
                attempt = tracing.Attempt(job.id, job.lease, job.kind.name, job.queue, job.attempt, job.trace)
                with tracing.attempt_span(attempt, job.waited_ms, records=traced) as span:
                    decision = await self._attempt(job, span)
            else:
                decision = await self._attempt(job, INVALID_SPAN)
            if job.stop_reason is _LEASE_LOST:
                pass  # somebody else has it, and this attempt counts for nothing
            elif job.completed_in:
                self._commit_watcher.take(job, self._if_rolled_back(job, decision))
            else:
                self._completer.record(job, decision)
        finally:
            # Under a lost lease the same job may have come back here with a new one.
            if self._running.get(job.id) is job:
                del self._running[job.id]
            self._per_queue[job.queue] -= 1
            self._freed.set()
            # The task's context knows the job: a circle, which only the collector would take apart.
            job.task = None

    async def _attempt(self, job: RunningJob, span: Span) -> AttemptResult:
        if job.stop_reason is not None:  # told to stop before it began
            return self._stopped(job, span)
        try:
            message = job.kind.codec.decode(job.payload)
        except PayloadUnreadableError as error:
            tracing.failed(span, "undecodable")
            return AttemptResult(
                JobState.QUARANTINED, counts_as_attempt=False, error=_error(job, "undecodable", error.reason)
            )
        for secret in job.kind.codec.secrets(message):
            redact(secret)
        self._timeouts.watch(job)
        try:
            job.interruptible = True
            try:
                outcome = await self._work[job.kind.name](message, job)
            finally:
                job.interruptible = False
            if job.stop_reason is _TIMEOUT:  # it has swallowed its cancellation: the timeout stands all the same
                return self._stopped(job, span)
            return COMPLETED if outcome is None else self._decide(job, span, outcome)
        except asyncio.CancelledError:
            if job.stop_reason is None:  # not from the engine: the handler has cancelled itself
                return self._failed(job, span, "CancelledError", "the handler raised CancelledError", "")
            return self._stopped(job, span)
        except (KeyboardInterrupt, GeneratorExit):  # the worker's own: Ctrl-C, and the end of its event loop
            raise
        # Whatever else a handler raises, sys.exit() included, is the attempt's outcome.
        except BaseException as error:  # noqa: BLE001
            if job.stop_reason is not None and job.stop_reason is not Stop.TIMEOUT:
                return self._stopped(job, span)
            failure = AttemptFailedError.of(error)
            return self._failed(job, span, failure.type, failure.message, failure.trace)
        finally:
            self._timeouts.forget(job)

    def _compose(self, handler: Handler) -> Work:
        """What is awaited for a kind's jobs: the function itself where nothing has to come between."""
        async_middleware, plain_middleware = self._handlers.middleware_for(handler)
        match handler.mode:
            case "async":
                work = handler.function
            case "thread":
                work = self._run_plain(wrapped(handler.function, plain_middleware))
            case "process":
                work = self._processes.work(handler, plain_middleware)
        return wrapped(work, async_middleware)

    def _decide(self, job: RunningJob, span: Span, outcome: Outcome) -> AttemptResult:
        match outcome:
            case Done(output=None):
                return COMPLETED
            case Done(output=output):
                return AttemptResult(JobState.COMPLETED, output=encoded(output, what="the output", limit=OUTPUT_LIMIT))
            case Retry(error=text, after=after):
                return self._failed(job, span, "Retry", text, "", after)
            case Snooze(delay=delay):
                return AttemptResult(JobState.SCHEDULED, counts_as_attempt=False, delay_ms=_ms(delay))
            case Cancel(reason=reason):
                return AttemptResult(JobState.CANCELLED, error=_error(job, "Cancel", reason))
            case Discard(reason=reason):
                tracing.failed(span, "Discard")
                return AttemptResult(JobState.DISCARDED, error=_error(job, "Discard", reason))
        raise TypeError(f"the handler returned {type(outcome).__name__}, which is no outcome")

    def _failed(
        self, job: RunningJob, span: Span, type_: str, message: str, trace: str, after: timedelta | None = None
    ) -> AttemptResult:
        tracing.failed(span, type_)
        decision = self._failure(job, _error(job, type_, message, trace), after)
        if decision.state is JobState.DISCARDED:
            logger.error("job %d (%s) is discarded after attempt %d: %s", job.id, job.kind.name, job.attempt, type_)
        else:
            logger.warning("job %d (%s) failed in attempt %d: %s", job.id, job.kind.name, job.attempt, type_)
        return decision

    def _failure(self, job: RunningJob, error: dict[str, Any], after: timedelta | None = None) -> AttemptResult:
        if job.attempt > job.max_retries:
            return AttemptResult(JobState.DISCARDED, error=error)
        delay = self._policy.delay(job.attempt) if after is None else after
        return AttemptResult(JobState.RETRYABLE, delay_ms=_ms(delay), error=error)

    def _if_rolled_back(self, job: RunningJob, decision: AttemptResult) -> AttemptResult:
        """What becomes of a job that its handler has completed itself, if that was rolled back."""
        if decision.state is not JobState.COMPLETED:
            return decision
        text = "the handler returned, but the transaction in which it completed the job was rolled back"
        return self._failure(job, _error(job, "rolled_back", text))

    def _stopped(self, job: RunningJob, span: Span) -> AttemptResult:
        match job.stop_reason:
            case Stop.TIMEOUT:
                return self._failed(job, span, "timeout", f"the attempt took longer than its {job.timeout:g} s", "")
            case Stop.CANCELLED:
                tracing.failed(span, "cancelled")
                return AttemptResult(JobState.CANCELLED)
            case _:
                tracing.failed(span, "interrupted")
                return RELEASE


def _task_maker() -> Callable[..., asyncio.Task[None]]:
    """What makes a job's task: the class itself, which costs a fifth less, unless somebody has set a task factory."""
    loop = asyncio.get_running_loop()
    return loop.create_task if loop.get_task_factory() else partial(asyncio.Task, loop=loop)


def _ms(delay: timedelta) -> int:
    return int(min(max(delay, timedelta(0)), LONGEST_DELAY) / timedelta(milliseconds=1))


def _error(job: RunningJob, type_: str, message: str, trace: str = "") -> dict[str, Any]:
    return {
        "attempt": job.attempt,
        "lease": job.lease,
        "at": datetime.now(UTC).isoformat(),
        "type": type_,
        "message": _storable(redacted_text(str(message)))[:MESSAGE_LIMIT],
        "traceback": _storable(redacted_text(trace))[-TRACEBACK_LIMIT:],
    }


def _storable(text: str) -> str:
    """Without the characters that jsonb refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "�").encode(errors="replace").decode()
