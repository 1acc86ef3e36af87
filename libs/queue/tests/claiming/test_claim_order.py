"""What a worker claims, in which order, and how much of it at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from more_kinds import kinds_of_a_later_release

from headrace.queue import (
    Enqueuer,
    Handlers,
    KindUnknownError,
    NewJob,
    Periodic,
    RunningJob,
    WorkerSettings,
)
from headrace.queue.claiming.pipeline import BEGIN_AT_ONCE
from headrace.queue.claiming.rotation import QueueRotation

pytestmark = pytest.mark.postgres_versions

GREET = "headrace.test.v1.Greet"


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


class Gate:
    """A handler that holds its jobs until it is opened, and counts them."""

    def __init__(self) -> None:
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.opened = asyncio.Event()

    async def __call__(self, message: Any, job: RunningJob) -> None:  # noqa: ARG002  (a handler's signature)
        for name in (job.queue, "all"):
            self.running[name] += 1
            self.most[name] = max(self.most[name], self.running[name])
        await self.opened.wait()
        for name in (job.queue, "all"):
            self.running[name] -= 1

    async def holds(self, **per_queue: int) -> bool:
        return {queue: self.running[queue] for queue in per_queue} == per_queue


async def all_completed(installation: Installation) -> bool:
    return not await installation.execute("select from headrace.jobs where state <> 'completed'")


async def test_a_kind_without_a_handler_waits_for_a_worker_that_has_one(
    installation: Installation, eventually: Eventually
) -> None:
    unknown = await installation.enqueue(TestKinds.GreetAgain())
    known = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await eventually(lambda: installation.is_in(known, "completed"))
        assert (await installation.job(unknown)).state == "available"
        async with installation.working(installation.worker(installation.handlers(GreetAgain=do_nothing))):
            await eventually(lambda: installation.is_in(unknown, "completed"))
    assert (await installation.job(unknown)).lease == 1


async def test_a_newer_version_waits_for_a_newer_worker_which_runs_older_ones_too(
    installation: Installation, eventually: Eventually
) -> None:
    later = kinds_of_a_later_release(version=2)
    async with await installation.connect() as connection:
        payload = later[GREET].message_class(name="new")
        newer = (await Enqueuer(later).enqueue_async(connection, NewJob(payload))).job_id
    old = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await eventually(lambda: installation.is_in(old, "completed"))
        assert (await installation.job(newer)).state == "available"
    older = await installation.enqueue(TestKinds.Greet())
    handlers = Handlers(later)
    handlers.add(later[GREET].message_class, do_nothing)
    async with installation.working(installation.worker(handlers)):
        await eventually(lambda: installation.is_in(newer, "completed"))
        await eventually(lambda: installation.is_in(older, "completed"))


async def test_jobs_run_by_priority_then_by_age(installation: Installation, eventually: Eventually) -> None:
    done: list[str] = []

    async def greet(message: Any, job: RunningJob) -> None:
        done.append(message.name)

    for n, priority in enumerate((4, 2, 1, 3, 2, 1, 4)):
        await installation.enqueue(TestKinds.Greet(name=f"{priority}.{n}"), priority=priority)
    async with installation.working(installation.worker(installation.handlers(Greet=greet), slots=1)):
        await eventually(lambda: all_completed(installation))
    assert done == sorted(done)


async def many(installation: Installation) -> int:
    """More jobs than begin in one turn of the event loop, and no more than one claim takes."""
    jobs = 2 * BEGIN_AT_ONCE + 200
    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_fast_async(
            connection, (NewJob(TestKinds.Greet()) for _ in range(jobs))
        )
    return jobs


async def test_the_event_loop_has_its_turns_while_the_jobs_of_a_large_claim_begin(
    installation: Installation, eventually: Eventually
) -> None:
    jobs = await many(installation)
    begun, seen, opened = 0, set(), asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        nonlocal begun
        if begun == 0:
            asyncio.get_running_loop().call_soon(look)
        begun += 1
        await opened.wait()

    def look() -> None:
        seen.add(begun)
        if begun < jobs:
            asyncio.get_running_loop().call_soon(look)

    async with installation.working(installation.worker(installation.handlers(Greet=greet), slots=jobs)):
        await eventually(lambda: jobs in seen)
        opened.set()
    assert min(seen) <= BEGIN_AT_ONCE
    assert await all_completed(installation)


async def test_a_worker_stopped_while_the_jobs_of_a_large_claim_begin_runs_them_all(
    installation: Installation,
) -> None:
    jobs = await many(installation)
    begun = 0

    async def greet(message: Any, job: RunningJob) -> None:
        nonlocal begun
        begun += 1
        worker.stop()

    worker = installation.worker(installation.handlers(Greet=greet), slots=jobs)
    await worker.run()
    assert begun == jobs
    assert await all_completed(installation)


async def test_a_flooded_queue_doesnt_starve_another(installation: Installation, eventually: Eventually) -> None:
    done: list[str] = []

    async def note(message: Any, job: RunningJob) -> None:
        done.append(job.queue)

    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet(), priority=1)] * 200)
        await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Count(), priority=4)] * 3)
    async with installation.working(installation.worker(installation.handlers(Greet=note, Count=note), slots=2)):
        await eventually(lambda: all_completed(installation))
    assert max(place for place, queue in enumerate(done) if queue == "numbers") < 40


async def test_no_more_jobs_run_at_once_than_there_are_slots(
    installation: Installation, eventually: Eventually
) -> None:
    gate = Gate()
    for _ in range(9):
        await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=gate), slots=3)):
        await eventually(lambda: gate.holds(all=3))
        gate.opened.set()
        await eventually(lambda: all_completed(installation))
    assert gate.most["all"] == 3


async def test_a_queue_takes_no_more_of_the_slots_than_it_may(
    installation: Installation, eventually: Eventually
) -> None:
    gate = Gate()
    for _ in range(6):
        await installation.enqueue(TestKinds.Greet())
        await installation.enqueue(TestKinds.Count())
    handlers = installation.handlers(Greet=gate, Count=gate)
    limits = {"greetings": 1, "numbers": 3}
    async with installation.working(installation.worker(handlers, slots=10, queue_slots=limits)):
        await eventually(lambda: gate.holds(greetings=1, numbers=3))
        gate.opened.set()
        await eventually(lambda: all_completed(installation))
    assert gate.most == {"greetings": 1, "numbers": 3, "all": 4}


async def test_a_worker_is_idle_while_a_queue_with_available_jobs_is_at_its_limit(
    installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    rounds = 0
    original = QueueRotation._round

    async def counted(rotation: QueueRotation) -> None:
        nonlocal rounds
        rounds += 1
        await original(rotation)

    monkeypatch.setattr(QueueRotation, "_round", counted)
    gate = Gate()
    for _ in range(3):
        await installation.enqueue(TestKinds.Greet())
    handlers = installation.handlers(Greet=gate, Count=do_nothing)
    async with installation.working(installation.worker(handlers, slots=4, queue_slots={"greetings": 1})):
        await eventually(lambda: gate.holds(greetings=1))
        for _ in range(5):
            counted_job = await installation.enqueue(TestKinds.Count())
            await eventually(lambda: installation.is_in(counted_job, "completed"))  # noqa: B023  (awaited at once)
        assert rounds < 60
        gate.opened.set()
        await eventually(lambda: all_completed(installation))


async def test_a_disabled_worker_promotes_but_claims_nothing(
    installation: Installation, eventually: Eventually
) -> None:
    scheduled = await installation.enqueue(TestKinds.Greet(), run_after=timedelta(hours=1))
    waiting = await installation.enqueue(TestKinds.Greet())
    assert (await installation.job(scheduled)).state == "scheduled"
    await installation.execute("update headrace.jobs set due_at = now() where id = %s", [scheduled])
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing), enabled=False)):
        await eventually(lambda: installation.is_in(scheduled, "available"))
        assert (await installation.job(waiting)).state == "available"
    assert [(await installation.job(job_id)).lease for job_id in (scheduled, waiting)] == [0, 0]


async def test_a_job_for_later_runs_when_it_is_due_and_not_before(
    installation: Installation, eventually: Eventually
) -> None:
    [(later,)] = await installation.execute("select now() + interval '400 ms'")
    job_id = await installation.enqueue(TestKinds.Greet(), run_at=later)
    assert (await installation.job(job_id)).state == "scheduled"
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing))):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    job = await installation.job(job_id)
    assert job.ready_at == later
    assert later <= job.claimed_at < later + timedelta(seconds=2)


async def test_a_time_that_has_passed_means_now(installation: Installation) -> None:
    [(earlier,)] = await installation.execute("select now() - interval '1 day'")
    assert (await installation.job(await installation.enqueue(TestKinds.Greet(), run_at=earlier))).state == "available"


async def test_a_worker_shows_who_it_is_and_when_it_is_at_work(
    installation: Installation, eventually: Eventually
) -> None:
    worker = installation.worker(installation.handlers(Greet=do_nothing, Count=do_nothing), name="host:1")
    assert not worker.ready

    async def at_work() -> bool:
        return bool(worker.ready)

    async with installation.working(worker):
        await eventually(at_work)
        assert worker.loop_lag() < 5
    assert not worker.ready
    [row] = await installation.execute("select name, queues, stopped_at is not null, dead_at from headrace.workers")
    assert row == ("host:1", ["greetings", "numbers"], True, None)


async def test_settings_that_make_no_sense_are_refused(installation: Installation) -> None:
    with pytest.raises(ValueError, match="a worker needs at least one handler"):
        installation.worker(installation.handlers())
    with pytest.raises(ValueError, match=r"queue_slots: no handled kind uses queue mails; the queues are greetings"):
        installation.worker(installation.handlers(Greet=do_nothing), queue_slots={"mails": 1})
    with pytest.raises(ValueError, match=r"slots and max_deaths must be at least 1"):
        WorkerSettings(slots=0)
    with pytest.raises(ValueError, match="queue_slots of greetings must be at least 0"):
        WorkerSettings(queue_slots={"greetings": -1})
    with pytest.raises(ValueError, match="poll_interval must be above 0"):
        WorkerSettings(poll_interval=timedelta(0))
    every = Periodic("odd", every=timedelta(days=1), payload=TestKinds.NoKind())
    with pytest.raises(KindUnknownError):
        installation.worker(installation.handlers(Greet=do_nothing), periodic=[every])
    with pytest.raises(ValueError, match="has a handler already"):
        installation.handlers(Greet=do_nothing).add(TestKinds.Greet, do_nothing)
