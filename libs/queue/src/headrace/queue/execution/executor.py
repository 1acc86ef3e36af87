"""Runs claimed jobs: each in a separate task, within its timeout, to a result.

Whatever a handler does leaves its job in a state that an operator can see: a return value, an exception and a timeout
alike.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol

from opentelemetry.trace import INVALID_SPAN, Span

from headrace.queue import tracing
from headrace.queue.errors import PayloadUnreadableError
from headrace.queue.execution.attempt_result import COMPLETED, RELEASE, AttemptResult, ResultRules
from headrace.queue.execution.handlers import Handler, Handlers
from headrace.queue.execution.middleware import PlainWork, Work, wrapped
from headrace.queue.execution.processes.pool import ProcessPool
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import ReportProgress, RunningJob, Stop, enter_job
from headrace.queue.execution.threads import in_thread
from headrace.queue.execution.timeouts import TimeoutWatcher
from headrace.redaction import begin_redaction, redact

# Looked up once, not for each job: before Python 3.12, access to a member of an enum is slow.
_TIMEOUT, _LEASE_LOST = Stop.TIMEOUT, Stop.LEASE_LOST


class Outcomes(Protocol):
    """Takes the results of attempts."""

    def record(self, job: RunningJob, result: AttemptResult) -> None:
        """Takes the result of an attempt."""


class OwnCompletions(Protocol):
    """Takes the attempts that have completed their jobs themselves, in transactions that may still be open."""

    def take(self, job: RunningJob, otherwise: AttemptResult) -> None:
        """Takes an attempt that has ended; `otherwise` is its result if its transaction was rolled back."""

    def holds(self, job_id: int, lease: int) -> bool:
        """Returns whether the end of an attempt's transaction is not known yet."""


class Executor:
    """The worker's running jobs.

    Args:
        handlers: The handler of each kind.
        completer: Takes the results of attempts.
        commit_watcher: Takes the attempts that have completed their jobs themselves.
        policy: The backoff between attempts.
        schema: The installation's schema.
        report_progress: Takes the progress that handlers report.
        freed: Set whenever a job has left its slot.
        run_plain: Makes a plain handler one that can be awaited.

    Raises:
        ValueError: A middleware can't wrap one of the handlers.
    """

    def __init__(
        self,
        handlers: Handlers,
        completer: Outcomes,
        commit_watcher: OwnCompletions,
        policy: RetryPolicy,
        *,
        schema: str,
        report_progress: ReportProgress,
        freed: asyncio.Event,
        run_plain: Callable[[PlainWork], Work] = in_thread,
    ) -> None:
        self._handlers = handlers
        self._run_plain = run_plain
        self._timeouts = TimeoutWatcher()
        self._processes = ProcessPool(schema, self._timeouts)
        self._work = {kind.name: self._compose(handlers[kind.name]) for kind in handlers.handled}
        self._completer = completer
        self._commit_watcher = commit_watcher
        self._rules = ResultRules(policy)
        self._schema = schema
        self._report_progress = report_progress
        self._freed = freed
        self._running: dict[int, RunningJob] = {}
        self._per_queue: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """How many jobs are running."""
        return len(self._running)

    def running_in(self, queue: str) -> int:
        """Returns how many jobs of a queue are running."""
        return self._per_queue[queue]

    def holds(self, job_id: int, lease: int) -> bool:
        """Returns whether an attempt is running here, or has completed its job in a transaction that may be open."""
        job = self._running.get(job_id)
        return (job is not None and job.lease == lease) or self._commit_watcher.holds(job_id, lease)

    def take(self, jobs: Iterable[RunningJob]) -> None:
        """Takes claimed jobs. From now on they occupy slots and can be stopped; `begin` runs them."""
        for job in jobs:
            job._schema = self._schema
            job._report_progress = self._report_progress
            self._running[job.id] = job
            self._per_queue[job.queue] += 1

    def begin(self, jobs: Iterable[RunningJob]) -> None:
        """Runs jobs that it has taken. The handler of a job that was told to stop since then is not called."""
        new_task = _task_maker()
        traced = tracing.records()
        for job in jobs:
            # An empty context: no context variable of the worker's own loop reaches the handler.
            job._task = new_task(self._run(job, traced=traced), name=job.kind.name, context=contextvars.Context())

    def cancel(self, job_id: int) -> bool:
        """Stops a job that is to be cancelled. Returns whether it is running here."""
        job = self._running.get(job_id)
        if job is not None:
            job._stop(Stop.CANCELLED)
        return job is not None

    def stop_all(self, reason: Stop) -> None:
        """Stops every running job."""
        for job in tuple(self._running.values()):
            job._stop(reason)

    def give_up(self) -> int:
        """Releases the jobs that don't stop, at the end of a drain, and ignores their outcomes. Returns how many.

        Only threads don't stop, and they end with the process. If one is about to commit its own completion, its job's
        row is locked, and the database waits for it.
        """
        left = tuple(self._running.values())
        for job in left:
            job.stop_reason = Stop.LEASE_LOST
            self._completer.record(job, RELEASE)
        return len(left)

    async def idle(self) -> None:
        """Waits until no job is running."""
        while tasks := [job._task for job in self._running.values() if job._task]:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stops the processes of handlers."""
        await self._processes.close()

    async def _run(self, job: RunningJob, *, traced: bool) -> None:
        try:
            enter_job(job)
            begin_redaction()
            if traced or job.trace is not None:
                attempt = tracing.Attempt(job.id, job.lease, job.kind.name, job.queue, job.attempt, job.trace)
                with tracing.attempt_span(attempt, job._waited_ms, records=traced) as span:
                    result = await self._attempt(job, span)
            else:
                result = await self._attempt(job, INVALID_SPAN)
            # No await from here to the end. So the reconciler, and a drain that waits for `idle` and then for the
            # completer, find every attempt either in `_running` or with whoever takes its result, never in neither.
            if job.stop_reason is _LEASE_LOST:
                pass  # first: such an attempt has no result, even if it has completed its job
            elif job._completed_in:
                self._commit_watcher.take(job, self._rules.if_rolled_back(job, result))
            else:
                self._completer.record(job, result)
        finally:
            # After a lost lease, a later attempt of the same job may run here by now: only this one is removed.
            if self._running.get(job.id) is job:
                del self._running[job.id]
            self._per_queue[job.queue] -= 1
            # After the counts, since who waits for it reads them.
            self._freed.set()
            # The task's context refers to the job: a reference cycle, which only the garbage collector would free.
            job._task = None

    async def _attempt(self, job: RunningJob, span: Span) -> AttemptResult:
        if job.stop_reason is not None:  # told to stop before it began
            return self._rules.of_stop(job, span)
        try:
            message = job.kind.codec.decode(job.payload_bytes)
        except PayloadUnreadableError as error:
            return self._rules.of_unreadable_payload(job, span, error.reason)
        for secret in job.kind.codec.secrets(message):
            redact(secret)
        self._timeouts.watch(job)
        try:
            job._interruptible = True
            try:
                outcome = await self._work[job.kind.name](message, job)
            finally:
                job._interruptible = False
            if job.stop_reason is _TIMEOUT:  # the handler has swallowed its cancellation: it is a timeout all the same
                return self._rules.of_stop(job, span)
            return COMPLETED if outcome is None else self._rules.of_outcome(job, span, outcome)
        except asyncio.CancelledError:
            if job.stop_reason is None:  # the engine has not cancelled it: the handler has cancelled itself
                return self._rules.of_own_cancellation(job, span)
            return self._rules.of_stop(job, span)
        except (KeyboardInterrupt, GeneratorExit):  # for the worker: Ctrl-C, and the end of its event loop
            raise
        # Any other exception of a handler is the attempt's outcome, including SystemExit.
        except BaseException as error:  # noqa: BLE001
            if job.stop_reason is not None and job.stop_reason is not _TIMEOUT:
                return self._rules.of_stop(job, span)
            return self._rules.of_exception(job, span, error)
        finally:
            self._timeouts.forget(job)

    def _compose(self, handler: Handler) -> Work:
        """Returns what is awaited for a kind's jobs: the handler itself if nothing wraps it."""
        async_middleware, plain_middleware = self._handlers.middleware_for(handler)
        match handler.mode:
            case "async":
                work = handler.function
            case "thread":
                work = self._run_plain(wrapped(handler.function, plain_middleware))
            case "process":
                work = self._processes.work(handler, plain_middleware)
        return wrapped(work, async_middleware)


def _task_maker() -> Callable[..., asyncio.Task[None]]:
    """Returns what creates a job's task: the class itself, which costs a fifth less, unless there is a task factory."""
    loop = asyncio.get_running_loop()
    return loop.create_task if loop.get_task_factory() else partial(asyncio.Task, loop=loop)
