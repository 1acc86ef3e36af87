"""Middleware goes around the work of all kinds or of some, and what it returns or raises is the attempt's outcome."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import Done, Job, KindUnknownError, RetryPolicy, RunningJob, Snooze, Worker

log: list[str] = []


@pytest.fixture(autouse=True)
def _empty_log() -> None:
    log.clear()


def logging_as(name: str) -> Any:
    async def middleware(message: Any, job: RunningJob, call_next: Any) -> Any:
        log.append(f"{name} before {message.name}")
        outcome = await call_next(message, job)
        log.append(f"{name} after {message.name}")
        return outcome

    return middleware


def logging_in_thread_as(name: str) -> Any:
    def middleware(message: Any, job: RunningJob, call_next: Any) -> Any:
        assert threading.current_thread().name == "headrace-job"
        log.append(f"{name} before {message.name}")
        outcome = call_next(message, job)
        log.append(f"{name} after {message.name}")
        return outcome

    return middleware


async def greet(message: Any, job: RunningJob) -> None:
    log.append(f"greet {message.name}")


def greet_in_thread(message: Any, job: RunningJob) -> None:
    log.append(f"greet {message.name}")


async def run(
    installation: Installation, eventually: Eventually, handlers: Any, kind: Any = TestKinds.Greet, **options: Any
) -> Job:
    """Runs one job to its end, and drains the worker."""
    job_id = await installation.enqueue(kind(name="Ada"), **options)
    async with installation.working(installation.worker(handlers)):

        async def over() -> bool:
            return (await installation.job(job_id)).state in ("completed", "discarded", "retryable", "scheduled")

        await eventually(over)
    job: Job = await installation.job(job_id)
    return job


async def test_the_first_one_used_is_the_outermost(installation: Installation, eventually: Eventually) -> None:
    handlers = installation.handlers(Greet=greet)
    handlers.use(logging_as("outer"))
    handlers.use(logging_as("inner"), TestKinds.Greet)
    await run(installation, eventually, handlers)
    assert log == ["outer before Ada", "inner before Ada", "greet Ada", "inner after Ada", "outer after Ada"]


async def test_middleware_of_a_kind_leaves_others_alone(installation: Installation, eventually: Eventually) -> None:
    handlers = installation.handlers(Greet=greet, Count=greet)
    handlers.use(logging_as("of Count"), TestKinds.Count)
    await run(installation, eventually, handlers)
    assert log == ["greet Ada"]
    await run(installation, eventually, handlers, TestKinds.Count)
    assert log[1:] == ["of Count before Ada", "greet Ada", "of Count after Ada"]


async def test_a_plain_function_goes_around_a_plain_handler_in_its_thread(
    installation: Installation, eventually: Eventually
) -> None:
    handlers = installation.handlers(Greet=greet_in_thread)
    handlers.use(logging_in_thread_as("in the thread"))
    handlers.use(logging_as("on the loop"))
    await run(installation, eventually, handlers)
    assert log == [
        "on the loop before Ada",
        "in the thread before Ada",
        "greet Ada",
        "in the thread after Ada",
        "on the loop after Ada",
    ]


async def test_a_plain_function_cant_go_around_an_async_handler(installation: Installation) -> None:
    handlers = installation.handlers(Greet=greet)
    handlers.use(logging_in_thread_as("x"))
    with pytest.raises(ValueError, match=r"middleware .*logging_in_thread_as.* make it an async def"):
        installation.worker(handlers)


def test_middleware_for_an_unknown_kind_is_rejected(installation: Installation) -> None:
    with pytest.raises(KindUnknownError):
        installation.handlers(Greet=greet).use(logging_as("x"), TestKinds.NoKind)


async def test_what_middleware_answers_is_the_outcome(installation: Installation, eventually: Eventually) -> None:
    async def not_today(message: Any, job: RunningJob, call_next: Any) -> Snooze:
        return Snooze(timedelta(hours=1))

    async def with_output(message: Any, job: RunningJob, call_next: Any) -> Done:
        await call_next(TestKinds.Greet(name="Grace"), job)
        return Done("from around")

    handlers = installation.handlers(Greet=greet)
    handlers.use(with_output)
    job = await run(installation, eventually, handlers)
    assert (job.output, log) == ("from around", ["greet Grace"])
    handlers.use(not_today)
    job = await run(installation, eventually, handlers)
    assert log == ["greet Grace"]


async def test_what_middleware_raises_is_a_failed_attempt(installation: Installation, eventually: Eventually) -> None:
    async def broken(message: Any, job: RunningJob, call_next: Any) -> None:
        await call_next(message, job)
        raise LookupError("no such tenant")

    handlers = installation.handlers(Greet=greet)
    handlers.use(broken)
    job = await run(installation, eventually, handlers, max_retries=0)
    assert (job.state, job.errors[0].type, job.errors[0].message) == ("discarded", "LookupError", "no such tenant")


async def test_middleware_sees_what_a_handler_raises_and_may_make_it_good(
    installation: Installation, eventually: Eventually
) -> None:
    def fail(message: Any, job: RunningJob) -> None:
        raise ConnectionError("away")

    async def forgiving(message: Any, job: RunningJob, call_next: Any) -> Any:
        try:
            return await call_next(message, job)
        except ConnectionError as error:
            return Done(str(error))

    handlers = installation.handlers(Greet=fail)
    handlers.use(forgiving)
    job = await run(installation, eventually, handlers)
    assert (job.state, job.output) == ("completed", "away")


@pytest.mark.parametrize("in_thread", [False, True])
async def test_the_timeout_covers_middleware_too(
    in_thread: bool, installation: Installation, eventually: Eventually
) -> None:
    """Whether the handler is through, or a thread has kept it beyond its time: what waits forever is interrupted."""
    interrupted = asyncio.Event()

    async def hangs(message: Any, job: RunningJob, call_next: Any) -> None:
        try:
            await call_next(message, job)
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    def slow(message: Any, job: RunningJob) -> None:
        job.stopping.wait(15)

    handlers = installation.handlers(Greet=slow if in_thread else greet)
    handlers.use(hangs)
    job_id = await installation.enqueue(TestKinds.Greet(), timeout=timedelta(milliseconds=50))
    policy = RetryPolicy(base=timedelta(hours=1))
    worker = Worker(installation.dsn, handlers, settings=installation.settings(), retry=policy)
    async with installation.working(worker):
        await eventually(lambda: installation.is_in(job_id, "retryable"))
    assert interrupted.is_set()
    assert (await installation.job(job_id)).errors[0].type == "timeout"
