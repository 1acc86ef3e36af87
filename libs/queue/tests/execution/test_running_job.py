"""What a handler can say and ask while it runs: an output, its progress, and the time it has left."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import Done, Job, RunningJob, current_job
from headrace.queue.completion import progress


@pytest.fixture(autouse=True)
def _quick_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "INTERVAL", timedelta(milliseconds=20))


async def run(
    installation: Installation, eventually: Eventually, handler: Any, state: str = "completed", **options: Any
) -> Job:
    """Runs one job until it is in that state, and drains the worker."""
    job_id = await installation.enqueue(TestKinds.Greet(), **options)
    async with installation.working(installation.worker(installation.handlers(Greet=handler))):
        await eventually(lambda: installation.is_in(job_id, state))
    job: Job = await installation.job(job_id)
    return job


@pytest.mark.parametrize("tags", [(), ("vip", "a, b", '"')])
async def test_a_handler_sees_the_tags_and_the_metadata(
    tags: tuple[str, ...], installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> Done:
        return Done([list(job.tags), job.metadata])

    job = await run(installation, eventually, greet, tags=tags, metadata={"tenant": 7})
    assert job.output == [list(tags), {"tenant": 7}]


OUTPUTS: list[Any] = [{"pages": [1, 2.5, None, True]}, "a word", 7, [], False, {"ключ": "\\u0000 is only text"}]


@pytest.mark.parametrize("output", OUTPUTS)
async def test_the_output_is_kept_with_the_job(output: Any, installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> Done:
        return Done(output)

    job = await run(installation, eventually, greet)
    assert (job.output, job.attempt, job.errors) == (output, 1, [])
    assert job.worker is not None
    assert job.finished_at is not None


NO_OUTPUTS: dict[str, tuple[Any, str, str]] = {
    "an object": (object(), "TypeError", "the output is not JSON"),
    "infinity": (float("inf"), "ValueError", "the output is not JSON"),
    "NUL": ({"a": ["b\0"]}, "ValueError", "NUL"),
    "a NUL behind a backslash": ("\\\0", "ValueError", "NUL"),
    "half a pair": ("\ud83d", "ValueError", "surrogate"),
    "too much": ("x" * 300_000, "ValueError", "the output has 300002 bytes; the limit is 262144"),
}


@pytest.mark.parametrize("case", NO_OUTPUTS)
async def test_an_output_that_cant_be_kept_is_a_failed_attempt(
    case: str, installation: Installation, eventually: Eventually
) -> None:
    output, type_, text = NO_OUTPUTS[case]

    async def greet(message: Any, job: RunningJob) -> Done:
        return Done(output)

    job = await run(installation, eventually, greet, "discarded", max_retries=0)
    [error] = job.errors
    assert error.type == type_
    assert text in error.message
    assert job.output is None


@pytest.mark.parametrize("in_thread", [False, True])
async def test_progress_can_be_looked_at_while_the_job_runs(
    in_thread: bool, installation: Installation, eventually: Eventually
) -> None:
    seen = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def greet(message: Any, job: RunningJob) -> None:
        for done in range(100):
            job.report_progress({"done": done})
        await seen.wait()
        job.report_progress("all done")

    def greet_in_thread(message: Any, job: RunningJob) -> None:
        for done in range(100):
            job.report_progress({"done": done})
        asyncio.run_coroutine_threadsafe(seen.wait(), loop).result(15)
        job.report_progress("all done")

    job_id = await installation.enqueue(TestKinds.Greet())

    async def reported() -> bool:
        return bool((await installation.job(job_id)).progress == {"done": 99})

    handlers = installation.handlers(Greet=greet_in_thread if in_thread else greet)
    async with installation.working(installation.worker(handlers)):
        await eventually(reported)
        assert await installation.is_in(job_id, "running")
        seen.set()
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert (await installation.job(job_id)).progress == "all done"


async def test_progress_of_a_lost_lease_counts_for_nothing(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        if job.lease == 1:
            await installation.take_away()
            job.report_progress("from the dead")

    job = await run(installation, eventually, greet)
    assert (job.progress, job.lease) == (None, 3)


async def test_progress_that_cant_be_kept_is_refused_at_once(
    installation: Installation, eventually: Eventually
) -> None:
    refused: list[str] = []

    async def greet(message: Any, job: RunningJob) -> None:
        for value in (object(), "x" * 5_000, "\0"):
            try:
                job.report_progress(value)
            except (TypeError, ValueError) as error:
                refused.append(type(error).__name__)

    job = await run(installation, eventually, greet)
    assert refused == ["TypeError", "ValueError", "ValueError"]
    assert job.progress is None


async def test_a_handler_knows_how_much_time_is_left(installation: Installation, eventually: Eventually) -> None:
    left: list[float] = []

    async def greet(message: Any, job: RunningJob) -> None:
        assert current_job() is job
        left.extend([job.remaining, job.deadline - time.monotonic()])

    await run(installation, eventually, greet, timeout=timedelta(seconds=20))
    assert all(15 < seconds <= 20 for seconds in left)
