"""What a person may do to jobs and queues."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    Discard,
    Job,
    JobNotActionableError,
    JobNotFoundError,
    Queue,
    RunningJob,
    cancel_job_async,
    get_job_async,
    pause_queue_async,
    resume_queue_async,
    retry_job_async,
)
from headrace.queue.claiming.pipeline import ClaimPipeline

pytestmark = pytest.mark.postgres_versions

FAR = timedelta(seconds=30)


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def cancel(installation: Installation, job_id: int) -> Job:
    async with await installation.connect() as connection:
        return await cancel_job_async(connection, job_id)


async def retry(installation: Installation, job_id: int) -> Job:
    async with await installation.connect() as connection:
        return await retry_job_async(connection, job_id)


async def pause(installation: Installation, queue: str, by: str = "ann") -> Queue:
    async with await installation.connect() as connection:
        return await pause_queue_async(connection, queue, by=by)


async def resume(installation: Installation, queue: str) -> Queue:
    async with await installation.connect() as connection:
        return await resume_queue_async(connection, queue)


async def test_nothing_of_a_paused_queue_is_claimed_until_it_is_resumed(
    installation: Installation, eventually: Eventually
) -> None:
    await pause(installation, "greetings")
    handlers = installation.handlers(Greet=do_nothing, Count=do_nothing)
    async with installation.working(installation.worker(handlers, poll_interval=FAR)):
        held = await installation.enqueue(TestKinds.Greet())
        for _ in range(3):
            other = await installation.enqueue(TestKinds.Count())
            await eventually(lambda: installation.is_in(other, "completed"))  # noqa: B023  (awaited at once)
        assert (await installation.job(held)).state == "available"
        began = time.monotonic()
        await resume(installation, "greetings")
        await eventually(lambda: installation.is_in(held, "completed"))
        assert time.monotonic() - began < FAR.total_seconds() / 5


async def test_a_pause_lets_running_jobs_finish(installation: Installation, eventually: Eventually) -> None:
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        await gate.wait()

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "running"))
        await pause(installation, "greetings")
        gate.set()
        await eventually(lambda: installation.is_in(job_id, "completed"))


async def test_the_first_to_pause_a_queue_is_remembered(installation: Installation) -> None:
    first = await pause(installation, "greetings", by="ann")
    again = await pause(installation, "greetings", by="bob")
    assert (again.paused_by, again.paused_at) == ("ann", first.paused_at)
    assert first.paused_at is not None
    assert await resume(installation, "greetings") == Queue("greetings")
    assert (await pause(installation, "greetings", by="bob")).paused_by == "bob"


async def test_resuming_a_queue_that_runs_changes_nothing(installation: Installation) -> None:
    assert await resume(installation, "never heard of") == Queue("never heard of")


@pytest.mark.parametrize("run_at", [None, "in an hour"])
async def test_a_waiting_job_is_cancelled_at_once(
    run_at: str | None, installation: Installation, eventually: Eventually
) -> None:
    options = {}
    if run_at:
        [(options["run_at"],)] = await installation.execute("select now() + interval '1 hour'")
    job_id = await installation.enqueue(TestKinds.Greet(), **options)
    job = await cancel(installation, job_id)
    assert (job.state, job.attempt) == ("cancelled", 0)
    assert job.finished_at is not None
    assert await cancel(installation, job_id) == job
    after = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await eventually(lambda: installation.is_in(after, "completed"))
    assert await installation.job(job_id) == job


async def test_a_running_job_is_interrupted_within_a_beat_or_two(
    installation: Installation, eventually: Eventually
) -> None:
    interrupted = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "running"))
        asked = await cancel(installation, job_id)
        assert (asked.state, asked.cancel_requested_at is not None) == ("running", True)
        await eventually(lambda: installation.is_in(job_id, "cancelled"), within=FAR.total_seconds() / 3)
    assert interrupted.is_set()
    assert (await installation.job(job_id)).errors == []


async def test_a_job_is_cancelled_whose_claim_the_worker_has_yet_to_hear_of(
    installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beat tells the worker of the cancellation, once, before it has read what its claim brought."""
    brought, go_on = asyncio.Event(), asyncio.Event()
    begin = ClaimPipeline._begin

    async def begin_late(pipeline: ClaimPipeline, *claim: Any) -> None:
        brought.set()
        await go_on.wait()
        await begin(pipeline, *claim)

    monkeypatch.setattr(ClaimPipeline, "_begin", begin_late)

    async def greet(message: Any, job: RunningJob) -> None:
        await asyncio.sleep(FAR.total_seconds())

    async def noted() -> bool:
        return bool(await installation.execute("select from headrace.workers where cancels = '{}'"))

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await brought.wait()
        assert (await cancel(installation, job_id)).state == "running"
        await eventually(noted)
        go_on.set()
        await eventually(lambda: installation.is_in(job_id, "cancelled"), within=FAR.total_seconds() / 3)


async def test_a_job_that_fails_after_its_cancellation_does_not_come_back(
    installation: Installation, eventually: Eventually
) -> None:
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        await gate.wait()
        raise ValueError("no")

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "running"))
        await cancel(installation, job_id)
        gate.set()
        await eventually(lambda: installation.is_in(job_id, "cancelled"))


async def test_a_job_that_completes_in_spite_of_its_cancellation_is_completed(
    installation: Installation, eventually: Eventually
) -> None:
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        await gate.wait()

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "running"))
        await cancel(installation, job_id)
        gate.set()
        await eventually(lambda: installation.is_in(job_id, "completed"))
    with pytest.raises(JobNotActionableError, match="is completed and can't be cancelled any more") as caught:
        await cancel(installation, job_id)
    assert (caught.value.reason, caught.value.job.id) == ("JOB_FINISHED", job_id)


async def test_a_retried_job_has_a_fresh_budget_under_a_growing_lease(
    installation: Installation, eventually: Eventually
) -> None:
    leases: list[tuple[int, int]] = []

    async def greet(message: Any, job: RunningJob) -> Discard | None:
        leases.append((job.attempt, job.lease))
        return Discard("not yet") if job.lease < 3 else None

    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        for _ in range(2):
            await eventually(lambda: installation.is_in(job_id, "discarded"))
            await retry(installation, job_id)
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert leases == [(1, 1), (1, 2), (1, 3)]
    assert len((await installation.job(job_id)).errors) == 2


async def test_a_retried_job_is_queued_as_if_it_were_new(installation: Installation) -> None:
    job_id = await installation.enqueue(TestKinds.Greet())
    await cancel(installation, job_id)
    job = await retry(installation, job_id)
    assert (job.state, job.attempt, job.finished_at, job.cancel_requested_at) == ("available", 0, None, None)
    assert job.ready_at is not None
    assert job.ready_at > job.created_at


async def test_a_retry_hurries_a_job_that_waits_for_its_time(
    installation: Installation, eventually: Eventually
) -> None:
    [(later,)] = await installation.execute("select now() + interval '1 hour'")
    job_id = await installation.enqueue(TestKinds.Greet(), run_at=later)
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await retry(installation, job_id)
        await eventually(lambda: installation.is_in(job_id, "completed"))


async def test_a_retry_withdraws_a_cancellation_that_the_worker_has_not_noted_yet(installation: Installation) -> None:
    """A worker that runs the job, is asked to stop it, and ends it before its next beat."""
    await installation.execute(
        "insert into headrace.workers (name, queues, kinds, versions) values ('w', '{}', '{}', '{}')"
    )
    job_id = await installation.enqueue(TestKinds.Greet())
    await installation.execute("update headrace.jobs set state = 'running', ready_xid = null, lease = 1, worker_id = 1")
    await cancel(installation, job_id)
    assert await installation.execute("select cancels from headrace.workers") == [([job_id],)]
    await installation.execute(
        "update headrace.jobs set state = 'cancelled', set_aside = 'cancelled', finished_at = now()"
    )
    await retry(installation, job_id)
    assert await installation.execute("select cancels from headrace.workers") == [([],)]


async def test_what_cant_be_retried_is_refused_with_its_reason(
    installation: Installation, eventually: Eventually
) -> None:
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        await gate.wait()

    job_id = await installation.enqueue(TestKinds.Greet())
    assert (await retry(installation, job_id)).state == "available"
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(lambda: installation.is_in(job_id, "running"))
        with pytest.raises(JobNotActionableError, match="is running: cancel it first") as running:
            await retry(installation, job_id)
        gate.set()
        await eventually(lambda: installation.is_in(job_id, "completed"))
    with pytest.raises(JobNotActionableError, match="is completed: enqueue a new job") as completed:
        await retry(installation, job_id)
    assert [running.value.reason, completed.value.reason] == ["JOB_RUNNING", "JOB_COMPLETED"]


@pytest.mark.parametrize("act", [get_job_async, cancel_job_async, retry_job_async])
async def test_a_job_that_isnt_there_is_not_found(act: Any, installation: Installation) -> None:
    async with await installation.connect() as connection:
        for job_id in (7, 0, -1, 2**63, 10**30):
            with pytest.raises(JobNotFoundError, match=f"there is no job {job_id}"):
                await act(connection, job_id)
