"""Pauses of kinds and of everything, limits over all processes, and turns for the lower priorities."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    NewJob,
    Queue,
    RunningJob,
    limit_queue_async,
    list_pauses_async,
    pause_all_async,
    pause_kind_async,
    pause_queue_async,
    resume_all_async,
    resume_kind_async,
)

FAR = timedelta(seconds=60)
GREET, COUNT = "headrace.test.v1.Greet", "headrace.test.v1.Count"


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def call(installation: Installation, act: Any, *args: Any, **options: Any) -> Any:
    async with await installation.connect() as connection:
        return await act(connection, *args, **options)


async def completed(installation: Installation, count: int) -> bool:
    [(done,)] = await installation.execute("select count(*) from headrace.jobs where state = 'completed'")
    return bool(done == count)


class Together:
    """A handler that counts how many of its jobs run at once."""

    def __init__(self) -> None:
        self.running = 0
        self.most = 0
        self.opened = asyncio.Event()

    async def __call__(self, message: Any, job: RunningJob) -> None:  # noqa: ARG002  (a handler's signature)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.opened.wait()
        await asyncio.sleep(0.001)
        self.running -= 1


@pytest.mark.parametrize("listen", [True, False])
async def test_a_resumed_kinds_jobs_run_though_every_cursor_has_passed_them(
    installation: Installation, eventually: Eventually, listen: bool
) -> None:
    """Woken by a notification, or without any by the poll."""
    await call(installation, pause_kind_async, GREET, by="ann")
    handlers = installation.handlers(Greet=do_nothing, Count=do_nothing)
    poll = FAR if listen else timedelta(milliseconds=100)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(
                installation.working(installation.worker(handlers, listen=listen, poll_interval=poll))
            )
        held = await installation.enqueue(TestKinds.Greet(), queue="numbers")
        for _ in range(3):  # each moves a cursor beyond what is held
            other = await installation.enqueue(TestKinds.Count())
            await eventually(lambda: installation.is_in(other, "completed"))  # noqa: B023  (awaited at once)
        assert (await installation.job(held)).state == "available"
        assert await call(installation, resume_kind_async, GREET)
        await eventually(lambda: installation.is_in(held, "completed"), within=10)


async def test_a_paused_kind_leaves_the_others_of_its_queue_alone(
    installation: Installation, eventually: Eventually
) -> None:
    await call(installation, pause_kind_async, GREET, by="ann")
    handlers = installation.handlers(Greet=do_nothing, GreetAgain=do_nothing)
    async with installation.working(installation.worker(handlers)):
        held = await installation.enqueue(TestKinds.Greet())
        other = await installation.enqueue(TestKinds.GreetAgain())
        await eventually(lambda: installation.is_in(other, "completed"))
        assert (await installation.job(held)).state == "available"


async def test_nothing_at_all_is_claimed_while_the_installation_is_paused(
    installation: Installation, eventually: Eventually
) -> None:
    gate = asyncio.Event()

    async def count(message: Any, job: RunningJob) -> None:
        await gate.wait()

    handlers = installation.handlers(Greet=do_nothing, Count=count)
    async with installation.working(installation.worker(handlers, poll_interval=timedelta(milliseconds=50))):
        running = await installation.enqueue(TestKinds.Count())
        await eventually(lambda: installation.is_in(running, "running"))
        await call(installation, pause_all_async, by="ann")
        held = await installation.enqueue(TestKinds.Greet())
        gate.set()
        await eventually(lambda: installation.is_in(running, "completed"))
        [(polls,)] = await installation.execute("select beat from headrace.workers")

        async def beaten_again() -> bool:
            return bool(await installation.execute("select from headrace.workers where beat > %s", (polls,)))

        await eventually(beaten_again)
        assert (await installation.job(held)).state == "available"
        assert await call(installation, resume_all_async)
        await eventually(lambda: installation.is_in(held, "completed"))


async def test_everything_that_is_paused_is_listed_with_who_did_it(installation: Installation) -> None:
    first = await call(installation, pause_kind_async, GREET, by="ann")
    again = await call(installation, pause_kind_async, GREET, by="bob")
    assert first == again
    await call(installation, pause_queue_async, "greetings", by="bob")
    await call(installation, pause_all_async, by="cy")
    await call(installation, pause_all_async, by="dora")
    listed = await call(installation, list_pauses_async)
    assert [(pause.what, pause.name, pause.paused_by) for pause in listed] == [
        ("all", "", "cy"),
        ("kind", GREET, "ann"),
        ("queue", "greetings", "bob"),
    ]
    assert [await call(installation, resume_kind_async, GREET), await call(installation, resume_kind_async, GREET)] == [
        True,
        False,
    ]
    assert [await call(installation, resume_all_async), await call(installation, resume_all_async)] == [True, False]


async def test_a_queues_limit_holds_over_all_workers_and_leaves_no_place_empty(
    installation: Installation, eventually: Eventually
) -> None:
    await call(installation, limit_queue_async, "greetings", 3)
    together = Together()
    handlers = installation.handlers(Greet=together, Count=do_nothing)
    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())] * 60)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(installation.working(installation.worker(handlers, poll_interval=FAR)))

        async def at_limit() -> bool:
            return together.running == 3

        await eventually(at_limit)
        other = await installation.enqueue(TestKinds.Count())
        await eventually(lambda: installation.is_in(other, "completed"))
        together.opened.set()
        # No poll comes: each job that ends makes room for the next.
        await eventually(lambda: completed(installation, 61))
    assert together.most == 3
    assert await installation.execute("select count(*) <= 2 from headrace.slot_log") == [(True,)]


async def test_what_already_runs_counts_when_a_limit_is_set(installation: Installation, eventually: Eventually) -> None:
    together = Together()
    handlers = installation.handlers(Greet=together)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(installation.working(installation.worker(handlers, slots=4)))
        for _ in range(3):
            await installation.enqueue(TestKinds.Greet())

        async def running(count: int) -> bool:
            return together.running == count

        await eventually(lambda: running(3))
        assert await call(installation, limit_queue_async, "greetings", 4) == Queue("greetings", max_running=4)
        for _ in range(10):
            await installation.enqueue(TestKinds.Greet())
        await eventually(lambda: running(4))
        assert await call(installation, limit_queue_async, "greetings", None) == Queue("greetings")
        await eventually(lambda: running(8))
        together.opened.set()
        await eventually(lambda: completed(installation, 13))


async def test_a_new_limit_counts_what_was_claimed_since_the_last_one(
    installation: Installation, eventually: Eventually
) -> None:
    """Also where a claim was on its way while that one was lifted: what it noted is only what ran then."""
    together = Together()
    handlers = installation.handlers(Greet=together)
    note = "insert into headrace.slot_log (queue, no, jobs, leases) values ('greetings', 7, '{}', '{}')"
    async with installation.working(installation.worker(handlers)):
        running_ids = [await installation.enqueue(TestKinds.Greet()) for _ in range(3)]

        async def running(count: int) -> bool:
            return together.running == count

        await eventually(lambda: running(3))
        await installation.execute(note)
        await call(installation, limit_queue_async, "greetings", 3)
        waiting = await installation.enqueue(TestKinds.Greet())
        counted = "select from headrace.slot_log where queue = 'greetings' and jobs @> %s::bigint[]"
        await eventually(lambda: installation.execute(counted, (running_ids,)))
        assert await installation.is_in(waiting, "available")
        together.opened.set()
        await eventually(lambda: completed(installation, 4))
    assert together.most == 3


async def test_a_limit_never_counts_what_is_gone(installation: Installation, eventually: Eventually) -> None:
    """However a job left: here its row is deleted, another one's lease was lost and no worker holds it."""
    await call(installation, limit_queue_async, "greetings", 2)
    gate = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        if message.name == "hold":
            await gate.wait()

    first = [await installation.enqueue(TestKinds.Greet(name="hold")) for _ in range(2)]
    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        for job_id in first:
            await eventually(lambda job_id=job_id: installation.is_in(job_id, "running"))
        after = await installation.enqueue(TestKinds.Greet())
        await installation.execute("delete from headrace.jobs where id = %s", (first[0],))
        await installation.execute("update headrace.jobs set lease = lease + 1 where id = %s", (first[1],))
        await eventually(lambda: installation.is_in(after, "completed"))
        gate.set()


async def test_a_limit_below_one_is_refused(installation: Installation) -> None:
    with pytest.raises(
        ValueError, match="max_running of queue 'q' must be at least 1, not 0; to stop the queue, pause it"
    ):
        await call(installation, limit_queue_async, "q", 0)


async def test_a_flood_of_the_first_priority_starves_no_other(
    installation: Installation, eventually: Eventually
) -> None:
    done: list[int] = []

    async def greet(message: Any, job: RunningJob) -> None:
        done.append(int(message.name))

    async with await installation.connect() as connection:
        for priority, count in {1: 150, 2: 4, 3: 4, 4: 4}.items():
            job = NewJob(TestKinds.Greet(name=str(priority)), priority=priority)
            await installation.enqueuer.enqueue_many_async(connection, [job] * count)
    async with installation.working(installation.worker(installation.handlers(Greet=greet), slots=1)):
        await eventually(lambda: completed(installation, 162))
    assert done[:7] == [1] * 7
    assert Counter(done[:24]) == {1: 21, 2: 1, 3: 1, 4: 1}
    assert max(place for place, priority in enumerate(done) if priority > 1) < 100
