"""A worker that is told to stop ends well: what can finish finishes, the rest goes back, unburned."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import Handlers, Kinds, RunningJob, Worker
from headrace.queue.db import migrate
from headrace.queue.execution.executor import Executor
from headrace.queue.execution.running_job import Stop
from headrace.queue.worker import drain as drain_module

pytestmark = pytest.mark.postgres_versions

SHORT = timedelta(milliseconds=50)


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def test_running_jobs_finish_within_the_drain_timeout(installation: Installation, eventually: Eventually) -> None:
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        await gate.wait()

    under_way = await installation.enqueue(TestKinds.Greet())
    worker = installation.worker(installation.handlers(Greet=greet), slots=1)
    run = asyncio.create_task(worker.run())
    await eventually(lambda: installation.is_in(under_way, "running"))
    worker.stop()
    late = await installation.enqueue(TestKinds.Greet())
    assert not run.done()
    gate.set()
    await run
    assert [(await installation.job(job_id)).state for job_id in (under_way, late)] == ["completed", "available"]


async def test_what_cant_finish_is_handed_back_unburned_and_run_by_the_next_worker(
    installation: Installation, eventually: Eventually
) -> None:
    started = asyncio.Event()

    async def never_ends(message: Any, job: RunningJob) -> None:
        started.set()
        await asyncio.Event().wait()

    job_id = await installation.enqueue(TestKinds.Greet(), max_retries=0)
    async with installation.working(installation.worker(installation.handlers(Greet=never_ends), drain_timeout=SHORT)):
        await started.wait()
    job = await installation.job(job_id)
    assert (job.state, job.attempt, job.lease, job.errors, job.worker) == ("available", 0, 1, [], None)
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    job = await installation.job(job_id)
    assert (job.attempt, job.lease) == (1, 2)


async def test_a_handler_may_tidy_up_when_it_is_interrupted(installation: Installation) -> None:
    started, tidied = asyncio.Event(), asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            await installation.execute("create table tidied ()")
            tidied.set()

    await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet), drain_timeout=SHORT)):
        await started.wait()
    assert tidied.is_set()


@pytest.mark.parametrize("jobs", [0, 30])
async def test_a_drain_without_patience_leaves_no_job_running(jobs: int, installation: Installation) -> None:
    started = asyncio.Event()

    async def never_ends(message: Any, job: RunningJob) -> None:
        started.set()
        await asyncio.Event().wait()

    for _ in range(jobs):
        await installation.enqueue(TestKinds.Greet())
    worker = installation.worker(installation.handlers(Greet=never_ends), drain_timeout=timedelta(0), slots=20)
    async with installation.working(worker):
        if jobs:
            await started.wait()
    rows = await installation.execute("select state::text, attempt, count(*) from headrace.jobs group by 1, 2")
    assert rows == ([("available", 0, jobs)] if jobs else [])


async def test_jobs_told_to_stop_before_they_began_are_handed_back(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = asyncio.Event()
    begin = Executor.begin

    def begin_and_stop(executor: Executor, jobs: Sequence[RunningJob]) -> None:
        begin(executor, jobs)
        executor.stop_all(Stop.DRAINING)
        told.set()

    monkeypatch.setattr(Executor, "begin", begin_and_stop)

    async def greet(message: Any, job: RunningJob) -> None:
        pytest.fail("it was told not to")

    job_id = await installation.enqueue(TestKinds.Greet())
    worker = installation.worker(installation.handlers(Greet=greet))
    async with installation.working(worker):
        await told.wait()
        worker.stop()
    job = await installation.job(job_id)
    assert (job.state, job.attempt) == ("available", 0)


async def test_stopping_before_the_database_was_ever_available_is_quick(installation: Installation) -> None:
    worker = Worker("postgresql://postgres@127.0.0.1:1/nowhere", installation.handlers(Greet=do_nothing))
    async with asyncio.timeout(5), installation.working(worker):
        pass
    assert not worker.ready


async def test_a_worker_waits_for_missing_migrations_and_says_what_to_run(
    database: str, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    handlers = Handlers(Kinds([TestKinds.Greet]))
    handlers.add(TestKinds.Greet, do_nothing)
    worker = Worker(database, handlers)
    run = asyncio.create_task(worker.run())

    async def complained() -> bool:
        return "migrations (0001_jobs" in caplog.text and "run `headrace migrate up`" in caplog.text

    async def at_work() -> bool:
        return worker.ready

    await eventually(complained)
    assert not worker.ready
    migrate.up(database)
    await eventually(at_work)
    worker.stop()
    await run


async def test_a_thread_that_does_not_stop_is_handed_back_and_counts_as_no_death(
    installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "LAST_STEPS", 0.1)
    started, released = threading.Event(), threading.Event()

    def stubborn(message: Any, job: RunningJob) -> None:
        started.set()
        released.wait(30)

    async def has_started() -> bool:
        return started.is_set()

    job_id = await installation.enqueue(TestKinds.Greet(), max_retries=0)
    async with installation.working(installation.worker(installation.handlers(Greet=stubborn), drain_timeout=SHORT)):
        await eventually(has_started)
    job = await installation.job(job_id)
    assert (job.state, job.attempt, job.errors) == ("available", 0, [])
    assert await installation.execute("select deaths, stopped_at is not null from headrace.jobs, headrace.workers") == [
        (0, True)
    ]
    released.set()
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert (await installation.job(job_id)).lease == 2


async def test_a_thread_that_raises_when_it_is_told_to_stop_is_handed_back(
    installation: Installation, eventually: Eventually
) -> None:
    started = threading.Event()

    def careful(message: Any, job: RunningJob) -> None:
        started.set()
        job.stopping.wait()
        raise RuntimeError("told to stop before the work was done")

    async def has_started() -> bool:
        return started.is_set()

    job_id = await installation.enqueue(TestKinds.Greet(), max_retries=0)
    async with installation.working(installation.worker(installation.handlers(Greet=careful), drain_timeout=SHORT)):
        await eventually(has_started)
    job = await installation.job(job_id)
    assert (job.state, job.attempt, job.errors) == ("available", 0, [])
