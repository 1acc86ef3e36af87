"""Whatever a handler does ends in a state that an operator can see, and the worker goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    Cancel,
    Discard,
    Job,
    Retry,
    RetryPolicy,
    RunningJob,
    Snooze,
    Worker,
    current_job,
)
from headrace.queue.execution import timeouts
from headrace.queue.execution.running_job import Stop
from headrace.queue.maintenance import scheduler

FINAL = ("completed", "discarded", "cancelled", "quarantined")


@pytest.fixture(autouse=True)
def _quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """The scheduler looks for due retries often."""
    monkeypatch.setattr(scheduler, "INTERVAL", timedelta(milliseconds=20))


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def run(installation: Installation, eventually: Eventually, handler: Callable[..., Any], **options: Any) -> Job:
    """Runs one job until it is over, then another to see that the worker still works. Returns the first."""
    job_id = await installation.enqueue(TestKinds.Greet(name="Ada"), **options)
    handlers = installation.handlers(Greet=handler, Count=do_nothing)
    async with installation.working(installation.worker(handlers)):

        async def over(awaited: int) -> bool:
            return (await installation.job(awaited)).state in FINAL

        await eventually(lambda: over(job_id))
        after = await installation.enqueue(TestKinds.Count())
        await eventually(lambda: over(after))
    job: Job = await installation.job(job_id)
    return job


async def test_a_completed_job_says_when_and_by_whom(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        assert message.name == "Ada"

    job = await run(installation, eventually, greet)
    assert (job.state, job.attempt, job.lease, job.errors) == ("completed", 1, 1, [])
    assert job.created_at <= job.ready_at <= job.claimed_at <= job.finished_at  # type: ignore[operator]
    assert job.worker is not None


async def test_a_failing_job_is_tried_again_until_its_retries_are_spent(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        raise ValueError(f"no greeting in attempt {job.attempt}")

    job = await run(installation, eventually, greet)
    assert (job.state, job.attempt, job.max_retries) == ("discarded", 3, 2)
    assert [(error.attempt, error.lease, error.type, error.message) for error in job.errors] == [
        (n, n, "ValueError", f"no greeting in attempt {n}") for n in (1, 2, 3)
    ]
    assert "in greet" in job.errors[0].traceback


async def test_a_job_that_succeeds_in_the_end_keeps_the_errors_before(
    installation: Installation, eventually: Eventually
) -> None:
    def greet(message: Any, job: RunningJob) -> None:
        if job.attempt < 2:
            raise ConnectionError("away")

    job = await run(installation, eventually, greet)
    assert (job.state, job.attempt, [error.type for error in job.errors]) == ("completed", 2, ["ConnectionError"])


async def test_only_the_last_ten_errors_are_kept(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> Retry:
        return Retry(f"attempt {job.attempt}", after=timedelta(0))

    job = await run(installation, eventually, greet, max_retries=12)
    assert [error.message for error in job.errors] == [f"attempt {n}" for n in range(4, 14)]


class UnspeakableError(Exception):
    """An exception whose text raises another."""

    def __str__(self) -> str:
        raise RuntimeError("not even this works")


class EndedError(BaseException):
    """As pytest's own: not even an Exception."""


HOSTILE: dict[str, tuple[Any, str, str]] = {
    "NUL": (ValueError("a\0b"), "ValueError", "a�b"),
    "half a surrogate pair": (ValueError("\ud83d!"), "ValueError", "?!"),
    "a megabyte": (ValueError("x" * 1_000_000), "ValueError", "x" * 2_000),
    "no text": (UnspeakableError(), "UnspeakableError", "the exception has no text: its __str__ raised an exception"),
    "StopIteration": (StopIteration("empty"), "RuntimeError", "coroutine raised StopIteration"),
    "sys.exit": (SystemExit(3), "SystemExit", "3"),
    "no Exception": (EndedError("at once"), "EndedError", "at once"),
    "CancelledError": (asyncio.CancelledError(), "CancelledError", "the handler raised CancelledError"),
}


@pytest.mark.parametrize("in_thread", [False, True])
async def test_no_exception_is_too_strange_to_be_recorded(
    in_thread: bool, installation: Installation, eventually: Eventually
) -> None:
    def greet_in_thread(message: Any, job: RunningJob) -> None:
        raise HOSTILE[message.name][0]

    async def greet(message: Any, job: RunningJob) -> None:
        raise HOSTILE[message.name][0]

    ids = {case: await installation.enqueue(TestKinds.Greet(name=case), max_retries=0) for case in HOSTILE}
    handlers = installation.handlers(Greet=greet_in_thread if in_thread else greet)
    async with installation.working(installation.worker(handlers)):
        for job_id in ids.values():
            await eventually(lambda job_id=job_id: installation.is_in(job_id, "discarded"))
    for case, (_, type_, message) in HOSTILE.items():
        [error] = (await installation.job(ids[case])).errors
        assert (error.type, error.message) == (type_, message), case
        assert len(error.traceback) <= 8_000


async def test_what_would_end_a_program_ends_an_attempt_in_a_thread(
    installation: Installation, eventually: Eventually
) -> None:
    raised = {"KeyboardInterrupt": KeyboardInterrupt(), "EndedError": EndedError("at once")}

    def greet(message: Any, job: RunningJob) -> None:
        raise raised[message.name]

    ids = {case: await installation.enqueue(TestKinds.Greet(name=case), max_retries=0) for case in raised}
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        for job_id in ids.values():
            await eventually(lambda job_id=job_id: installation.is_in(job_id, "discarded"))
    for case, error in raised.items():
        [kept] = (await installation.job(ids[case])).errors
        assert (kept.type, kept.message) == (case, str(error))
        assert "in greet" in kept.traceback


NO_OUTCOMES: dict[str, tuple[Callable[[], Any], str, str]] = {
    "a word": (
        lambda: "done",
        "TypeError",
        "handler returned str; return None, or one of Done, Retry, Snooze, Cancel, Discard",
    ),
    "a class": (
        lambda: Snooze,
        "TypeError",
        "handler returned type; return None, or one of Done, Retry, Snooze, Cancel, Discard",
    ),
    "a snooze without a time": (lambda: Snooze("a while"), "TypeError", "Snooze: delay must be of type timedelta"),  # type: ignore[arg-type]
    "a retry after a number": (lambda: Retry("again", after=7), "TypeError", "Retry: after must be of type timedelta"),  # type: ignore[arg-type]
    "a retry without a word": (lambda: Retry(None), "Retry", "None"),  # type: ignore[arg-type]
}


async def test_a_return_value_that_is_not_an_outcome_is_a_failed_attempt(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> Any:
        return NO_OUTCOMES[message.name][0]()

    ids = {case: await installation.enqueue(TestKinds.Greet(name=case), max_retries=1) for case in NO_OUTCOMES}
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        for job_id in ids.values():
            await eventually(lambda job_id=job_id: installation.is_in(job_id, "discarded"))
    for case, (_, type_, complaint) in NO_OUTCOMES.items():
        first, _ = (await installation.job(ids[case])).errors
        assert first.type == type_, case
        assert complaint in first.message, case


async def test_snooze_leaves_the_attempt_unspent(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> Snooze | None:
        return Snooze(timedelta(milliseconds=5)) if job.lease < 4 else None

    job = await run(installation, eventually, greet, max_retries=0)
    assert (job.state, job.attempt, job.lease, job.errors) == ("completed", 1, 4, [])


async def test_a_snooze_beyond_all_bounds_is_shortened(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> Snooze:
        return Snooze(timedelta.max)

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "scheduled"))
    job = await installation.job(job_id)
    assert job.attempt == 0
    assert job.ready_at is not None
    assert timedelta(days=3_600) < job.ready_at - job.created_at < timedelta(days=3_700)


@pytest.mark.parametrize(
    ("outcome", "state"), [(Cancel("not wanted"), "cancelled"), (Discard("hopeless"), "discarded")]
)
async def test_a_handler_can_end_its_job_for_good(
    outcome: Any, state: str, installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> Any:
        return outcome

    job = await run(installation, eventually, greet)
    assert (job.state, job.attempt) == (state, 1)
    assert (job.errors[0].type, job.errors[0].message) == (type(outcome).__name__, outcome.reason)


async def test_a_retry_comes_when_the_handler_says(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> Retry:
        return Retry("the other side asks for an hour", after=timedelta(hours=1))

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "retryable"))
    job = await installation.job(job_id)
    assert job.ready_at is not None
    assert job.claimed_at is not None
    assert timedelta(minutes=59) < job.ready_at - job.claimed_at < timedelta(minutes=61)
    assert (job.attempt, job.errors[0].message) == (1, "the other side asks for an hour")


def patient(installation: Installation, **functions: Any) -> Worker:
    """A worker of two slots whose retries are far away."""
    policy = RetryPolicy(base=timedelta(hours=1))
    return Worker(
        installation.dsn, installation.handlers(**functions), settings=installation.settings(slots=2), retry=policy
    )


async def test_an_async_handler_is_cancelled_at_its_timeout(installation: Installation, eventually: Eventually) -> None:
    interrupted = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    job_id = await installation.enqueue(TestKinds.Greet(), timeout=timedelta(milliseconds=50))
    async with installation.working(patient(installation, Greet=greet)):
        await eventually(lambda: installation.is_in(job_id, "retryable"))
    job = await installation.job(job_id)
    assert interrupted.is_set()
    assert (job.attempt, job.errors[0].type) == (1, "timeout")
    assert job.errors[0].message == "the attempt took longer than its 0.05 s"


async def test_a_thread_keeps_its_slot_beyond_its_timeout_until_it_returns(
    installation: Installation, eventually: Eventually
) -> None:
    saw_the_stop, may_return, running = threading.Event(), threading.Event(), threading.Semaphore(2)

    def greet(message: Any, job: RunningJob) -> None:
        assert running.acquire(blocking=False)
        job.stopping.wait(30)
        saw_the_stop.set()
        may_return.wait(30)
        running.release()

    short = {"timeout": timedelta(milliseconds=50)}
    held = [await installation.enqueue(TestKinds.Greet(), **short) for _ in range(2)]
    third = await installation.enqueue(TestKinds.Greet(), **short)

    async def told_to_stop() -> bool:
        return saw_the_stop.is_set()

    async with installation.working(patient(installation, Greet=greet)):
        await eventually(told_to_stop)
        assert [(await installation.job(job_id)).state for job_id in (*held, third)] == ["running"] * 2 + ["available"]
        may_return.set()
        for job_id in (*held, third):
            await eventually(lambda job_id=job_id: installation.is_in(job_id, "retryable"))
    assert [(await installation.job(job_id)).errors[0].type for job_id in held] == ["timeout"] * 2


async def test_a_drain_interrupts_a_handler_that_swallowed_its_cancellation_again(
    installation: Installation, eventually: Eventually
) -> None:
    swallowed = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    job_id = await installation.enqueue(TestKinds.Greet(), timeout=timedelta(milliseconds=20))
    worker = installation.worker(installation.handlers(Greet=greet), drain_timeout=timedelta(milliseconds=20))
    async with installation.working(worker):
        await swallowed.wait()
    assert (await installation.job(job_id)).errors[0].type == "timeout"


async def test_a_timeout_is_never_silent(
    installation: Installation,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither where the handler swallows it and goes on, nor where it then returns as if all were well."""
    monkeypatch.setattr(timeouts, "OVERDUE", 0.05)
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await gate.wait()

    async def complained() -> bool:
        return f"job {job_id} (headrace.test.v1.Greet) still runs" in caplog.text

    job_id = await installation.enqueue(TestKinds.Greet(), timeout=timedelta(milliseconds=20))
    async with installation.working(patient(installation, Greet=greet)):
        await eventually(complained, within=5)
        assert (await installation.job(job_id)).state == "running"
        gate.set()
        await eventually(lambda: installation.is_in(job_id, "retryable"), within=5)
    assert (await installation.job(job_id)).errors[0].type == "timeout"


async def test_a_timeout_that_could_not_strike_is_told_of(
    installation: Installation, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        while job.remaining > 0:  # never gives the event loop a turn
            pass

    job_id = await installation.enqueue(TestKinds.Greet(), timeout=timedelta(milliseconds=50))
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert f"job {job_id} (headrace.test.v1.Greet) ended" in caplog.text
    assert "which could not strike" in caplog.text


async def test_a_stop_that_is_said_twice_lets_a_handler_tidy_up(installation: Installation) -> None:
    running: list[RunningJob] = []
    started, stopped, tidied = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        running.append(job)
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
            await asyncio.sleep(0)
            tidied.set()

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await started.wait()
        running[0]._stop(Stop.CANCELLED)
        await stopped.wait()
        running[0]._stop(Stop.CANCELLED)
        await tidied.wait()
    assert (await installation.job(job_id)).state == "cancelled"


async def test_an_undecodable_payload_is_quarantined_with_no_attempt_spent(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        pytest.fail("there is nothing to greet")

    job_id = await installation.enqueue(TestKinds.Greet())
    await installation.execute(r"update headrace.jobs set payload = '\xff'")
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "quarantined"))
    job = await installation.job(job_id)
    assert (job.attempt, job.lease, job.errors[0].type) == (0, 1, "undecodable")
    assert job.finished_at is not None


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_handler_can_ask_for_its_job_anywhere(
    in_thread: bool, installation: Installation, eventually: Eventually
) -> None:
    seen: list[RunningJob | None] = []

    async def greet(message: Any, job: RunningJob) -> None:
        seen.extend([job, current_job()])

    def greet_in_thread(message: Any, job: RunningJob) -> None:
        seen.extend([job, current_job()])

    job = await run(installation, eventually, greet_in_thread if in_thread else greet, caller="api")
    assert seen[0] is seen[1]
    assert seen[0] is not None
    assert (seen[0].id, seen[0].lease, seen[0].attempt, seen[0].caller) == (job.id, 1, 1, "api")
    assert current_job() is None
