"""Periodic jobs: one per tick, whoever and however many are at work."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds

from headrace.queue import Periodic, RunningJob

QUICK = timedelta(milliseconds=150)
HOUR = timedelta(hours=1)


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


def worker(installation: Any, *periodic: Periodic) -> Any:
    return installation.worker(installation.handlers(Count=do_nothing), periodic=periodic)


def every(interval: timedelta, name: str = "tidy") -> Periodic:
    return Periodic(name, interval, TestKinds.Count(name=name))


async def jobs(installation: Any) -> int:
    [(count,)] = await installation.execute("select count(*) from headrace.jobs")
    return int(count)


async def test_any_number_of_workers_make_one_job_per_tick(installation: Any, eventually: Any) -> None:
    async def several() -> bool:
        return await jobs(installation) >= 5

    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(installation.working(worker(installation, every(QUICK))))
        await eventually(several)
    ticks = await installation.execute(
        "select floor(extract(epoch from jobs.created_at - p.next_at) / extract(epoch from every))"
        " from headrace.jobs, headrace.periodic_jobs p"
    )
    assert len(ticks) == len(set(ticks))


async def test_its_job_is_like_any_other(installation: Any, eventually: Any) -> None:
    async def completed() -> bool:
        return bool(await installation.execute("select from headrace.jobs where state = 'completed'"))

    async with installation.working(worker(installation, every(HOUR))):
        await eventually(completed)
    [(kind, queue, caller, payload)] = await installation.execute(
        "select kind, queue, caller, payload from headrace.jobs"
    )
    assert (kind, queue, caller) == ("headrace.test.v1.Count", "numbers", "periodic")
    assert TestKinds.Count.FromString(payload).name == "tidy"


async def test_missed_ticks_are_made_up_for_by_one(installation: Any, eventually: Any) -> None:
    async def one_more() -> bool:
        return await jobs(installation) == 2

    async def first() -> bool:
        return await jobs(installation) == 1

    async with installation.working(worker(installation, every(HOUR))):
        await eventually(first)
    await installation.execute("update headrace.periodic_jobs set next_at = next_at - interval '10 hours 30 minutes'")
    async with installation.working(worker(installation, every(HOUR))):
        await eventually(one_more)
    assert await jobs(installation) == 2
    [(wait,)] = await installation.execute("select next_at - now() from headrace.periodic_jobs")
    assert timedelta(0) < wait <= HOUR / 2


async def test_a_tick_is_not_repeated_by_a_restart(installation: Any, eventually: Any) -> None:
    async def ticked() -> bool:
        return await jobs(installation) == 1

    for _ in range(3):
        async with installation.working(worker(installation, every(HOUR))):
            await eventually(ticked)
    assert await jobs(installation) == 1


async def test_a_shorter_interval_counts_at_once(installation: Any, eventually: Any) -> None:
    async def more(than: int) -> bool:
        return bool(await jobs(installation) > than)

    async with installation.working(worker(installation, every(HOUR))):
        await eventually(lambda: more(0))
    async with installation.working(worker(installation, every(QUICK))):
        await eventually(lambda: more(2))


async def test_what_nobody_declares_any_more_stops(installation: Any, eventually: Any) -> None:
    async def has(name: str, count: int) -> bool:
        rows = await installation.execute("select payload from headrace.jobs")
        return [TestKinds.Count.FromString(payload).name for (payload,) in rows].count(name) >= count

    async with installation.working(worker(installation, every(QUICK, "old"))):
        await eventually(lambda: has("old", 1))
    before = await jobs(installation)
    async with installation.working(worker(installation, every(QUICK, "new"))):
        await eventually(lambda: has("new", 3))
    assert not await has("old", before + 1)


def test_an_interval_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match=r"periodic job 'tidy': every must be above 0, and is 0:00:00"):
        every(timedelta(0))
