"""Lists of jobs come in pages that stay put while jobs are added."""

from __future__ import annotations

from typing import Any

from engine_kinds import TestKinds
from installation import Installation

from headrace.queue import Job, JobFilter, JobState, list_jobs_async


async def page(installation: Installation, wanted: JobFilter | None = None, **options: Any) -> list[Job]:
    async with await installation.connect() as connection:
        return await list_jobs_async(connection, wanted, **options)


async def test_pages_are_stable_while_jobs_are_added(installation: Installation) -> None:
    expected = [await installation.enqueue(TestKinds.Greet()) for _ in range(10)]
    seen: list[int] = []
    before: int | None = None
    while jobs := await page(installation, limit=3, before_id=before):
        seen += [job.id for job in jobs]
        before = seen[-1]
        await installation.enqueue(TestKinds.Greet())
    assert seen == sorted(expected, reverse=True)


async def test_filters_narrow_the_list_together(installation: Installation) -> None:
    greet = await installation.enqueue(TestKinds.Greet())
    vip = await installation.enqueue(TestKinds.Greet(), queue="vip")
    count = await installation.enqueue(TestKinds.Count())
    await installation.execute(
        "update headrace.jobs set state = 'discarded', set_aside = 'discarded', ready_xid = null where id = %s",
        (count,),
    )

    async def found(**wanted: Any) -> list[int]:
        return [job.id for job in await page(installation, JobFilter(**wanted))]

    assert await found() == [count, vip, greet]
    assert await found(kinds=("headrace.test.v1.Greet",)) == [vip, greet]
    assert await found(queues=("vip", "numbers")) == [count, vip]
    assert await found(states=(JobState.DISCARDED,)) == [count]
    assert await found(states=(JobState.AVAILABLE,), queues=("vip",)) == [vip]
    assert await found(states=(JobState.RUNNING,)) == []
