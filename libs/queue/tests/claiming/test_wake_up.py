"""Workers are woken, not spinning; where they can't be woken they poll."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import NewJob, RunningJob
from headrace.queue.claiming.recheck_timer import WATCH, RecheckTimer, notification_slot

pytestmark = pytest.mark.direct(reason="LISTEN needs a session, and workers behind a pooler poll")

FAR = timedelta(seconds=30)
LISTENERS = "select pid from pg_stat_activity where datname = current_database() and application_name = %s"


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def listeners(installation: Installation) -> list[tuple[int]]:
    rows: list[tuple[int]] = await installation.execute(LISTENERS, ("headrace notifications",))
    return rows


async def run_one(installation: Installation, eventually: Eventually) -> float:
    """Enqueues a job. Returns after how many seconds it was completed."""
    began = time.monotonic()
    job_id = await installation.enqueue(TestKinds.Greet())
    await eventually(lambda: installation.is_in(job_id, "completed"))
    return time.monotonic() - began


async def test_a_new_job_wakes_an_idle_worker_far_below_its_poll_interval(
    installation: Installation, eventually: Eventually
) -> None:
    worker = installation.worker(installation.handlers(Greet=do_nothing), poll_interval=FAR)
    async with installation.working(worker):
        await run_one(installation, eventually)  # with the look at the start, or a notification
        took = [await run_one(installation, eventually) for _ in range(5)]
    assert max(took) < FAR.total_seconds() / 5


async def test_a_retried_job_and_a_due_one_wake_it_too(installation: Installation, eventually: Eventually) -> None:
    worker = installation.worker(installation.handlers(Greet=do_nothing), poll_interval=FAR)
    async with installation.working(worker):
        await run_one(installation, eventually)
        [(soon,)] = await installation.execute("select now() + interval '50 ms'")
        job_id = await installation.enqueue(TestKinds.Greet(), run_at=soon)
        await eventually(lambda: installation.is_in(job_id, "completed"), within=FAR.total_seconds() / 5)


async def test_without_listening_the_poll_finds_the_jobs(installation: Installation, eventually: Eventually) -> None:
    worker = installation.worker(
        installation.handlers(Greet=do_nothing), poll_interval=timedelta(milliseconds=50), listen=False
    )
    async with installation.working(worker):
        for _ in range(3):
            await run_one(installation, eventually)
        assert await listeners(installation) == []


async def test_a_lost_listener_comes_back_and_looks_after_what_it_missed(
    installation: Installation, eventually: Eventually
) -> None:
    async def listens() -> bool:
        return len(await listeners(installation)) == 1

    worker = installation.worker(installation.handlers(Greet=do_nothing), poll_interval=FAR)
    async with installation.working(worker):
        await run_one(installation, eventually)
        await eventually(listens)
        [(pid,)] = await listeners(installation)
        await installation.execute("select pg_terminate_backend(%s)", (pid,))
        assert await run_one(installation, eventually) < FAR.total_seconds() / 5


async def test_a_burst_is_one_notification_per_queue_and_comes_with_the_commit(installation: Installation) -> None:
    async with await installation.connect() as ear, await installation.connect(autocommit=False) as connection:
        await ear.execute("listen headrace_ready")
        batch = [NewJob(TestKinds.Greet())] * 100 + [NewJob(TestKinds.Count())] * 100
        await installation.enqueuer.enqueue_many_async(connection, batch)
        assert [n async for n in ear.notifies(timeout=0)] == []
        await connection.commit()
        heard = [notification.payload async for notification in ear.notifies(timeout=10, stop_after=2)]
        heard += [notification.payload async for notification in ear.notifies(timeout=0)]
    assert sorted(heard) == ["greetings", "numbers"]


async def test_a_burst_of_transactions_sends_few_notifications_and_every_job_runs_at_once(
    installation: Installation, eventually: Eventually
) -> None:
    async def all_ran() -> bool:
        return not await installation.execute("select from headrace.jobs where finished_at is null")

    worker = installation.worker(installation.handlers(Greet=do_nothing), poll_interval=FAR)
    async with installation.working(worker), await installation.connect() as ear:
        await eventually(lambda: _listens(installation))
        await ear.execute("listen headrace_ready")
        began = time.monotonic()
        async with await installation.connect() as connection:
            for _ in range(300):
                await installation.enqueuer.enqueue_many_async(connection, [NewJob(TestKinds.Greet())])
        windows = (time.monotonic() - began) * 200
        await eventually(all_ran, within=FAR.total_seconds() / 3)
        heard = [notification async for notification in ear.notifies(timeout=0)]
    assert len(heard) <= windows + 2


async def _listens(installation: Installation) -> bool:
    return len(await listeners(installation)) == 1


async def test_a_suppressed_notification_does_not_leave_its_job_waiting(
    installation: Installation, eventually: Eventually
) -> None:
    """One that was accepted in the same 5 ms as another, and committed after the worker has looked."""
    worker = installation.worker(installation.handlers(Greet=do_nothing), poll_interval=FAR)
    async with installation.working(worker), await installation.connect(autocommit=False) as late:
        for _ in range(3):
            first = await installation.enqueue(TestKinds.Greet())
            second = (await installation.enqueuer.enqueue_async(late, NewJob(TestKinds.Greet()))).job_id
            await eventually(lambda job_id=first: installation.is_in(job_id, "completed"))
            await late.commit()
            await eventually(lambda job_id=second: installation.is_in(job_id, "completed"), within=10)


def test_queues_of_a_slot_share_their_notifications() -> None:
    queues = [f"queue-{n}" for n in range(100)]
    timer = RecheckTimer(queues)
    for queue in queues:
        assert timer.queues_sharing_slot(queue) == [
            other for other in queues if notification_slot(other) == notification_slot(queue)
        ]
    assert len({notification_slot(queue) for queue in queues}) == 16


def test_rechecks_come_less_and_less_often_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("headrace.queue.claiming.recheck_timer.time.monotonic", lambda: now)
    timer = RecheckTimer(["a", "b"])
    timer.woken("a")
    looks = []
    while timer.next_look < float("inf"):
        now = timer.next_look
        assert timer.due() == ["a"]
        assert timer.due() == []
        timer.found_nothing("a")
        looks.append(now)
    assert 5 < len(looks) < 25
    assert looks[0] < 0.005
    assert WATCH < looks[-1] < WATCH * 1.5


async def test_the_database_and_the_workers_put_a_queue_into_the_same_slot(installation: Installation) -> None:
    queues = ["greetings", "numbers", "E-Mail", "ü", "", *(f"queue-{n}" for n in range(40))]
    async with await installation.connect() as connection:
        for queue in queues:
            await connection.execute("select setval('headrace.wakes', 0)")
            await connection.execute("select headrace.wake(%s)", (queue,))
            cursor = await connection.execute("select last_value & 65535 from headrace.wakes")
            assert await cursor.fetchone() == (1 << int(notification_slot(queue), 16),), queue
