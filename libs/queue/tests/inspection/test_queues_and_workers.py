"""Queues and workers are listed, at a cost that does not grow with the jobs; look-ups stay bounded in a long line."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from plans import plan_of, scans

from headrace.queue import (
    Job,
    JobFilter,
    JobState,
    RunningJob,
    WorkerState,
    cancel_jobs_async,
    limit_queue_async,
    list_jobs_async,
    list_queues_async,
    list_workers_async,
    pause_queue_async,
    set_retention_async,
)
from headrace.queue.db.statements import statement
from headrace.queue.inspection import search

HOUR = timedelta(hours=1)


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def test_queues_with_jobs_and_queues_that_something_was_said_about_are_listed(installation: Installation) -> None:
    for queue in ("b", "a", "a"):
        await installation.enqueue(TestKinds.Count(name="x"), queue=queue)
    async with await installation.connect() as connection:
        await pause_queue_async(connection, "c", by="me")
        await limit_queue_async(connection, "a", 3)
        await set_retention_async(connection, "a", completed=HOUR, discarded=2 * HOUR)
        a, b, c = await list_queues_async(connection)
        assert [each.name for each in await list_queues_async(connection, ["c", "none"])] == ["c"]
    assert (a.name, a.max_running) == ("a", 3)
    assert a.retention == {JobState.COMPLETED: HOUR, JobState.DISCARDED: 2 * HOUR}
    assert (b.name, b.paused_at, b.retention) == ("b", None, {})
    assert (c.name, c.paused_by) == ("c", "me")


async def test_queues_are_found_by_going_from_one_to_the_next(installation: Installation) -> None:
    async with await installation.connect() as connection:
        await _fill(connection, 5_000)
        await connection.execute("set enable_seqscan = off")
        cursor = await connection.execute(f"explain (format json) {statement('list_queues')}", {"names": None})
        [[answer]] = await cursor.fetchall()
        assert [queue.name for queue in await list_queues_async(connection)] == ["q0", "q1", "q2"]
    assert set(scans(plan_of(answer))) == {("Index Scan", "jobs_by_queue_and_kind")}


async def test_a_retention_beyond_ten_years_is_refused(installation: Installation) -> None:
    async with await installation.connect() as connection:
        with pytest.raises(ValueError, match="cancelled must be at least 0 and at most ten years"):
            await set_retention_async(connection, "a", cancelled=timedelta(days=5000))


async def test_a_worker_is_listed_with_what_it_knows_and_how_it_is(
    installation: Installation, eventually: Eventually
) -> None:
    async with await installation.connect() as connection:

        async def is_there() -> bool:
            return bool(await list_workers_async(connection))

        async with installation.working(installation.worker(installation.handlers(Count=do_nothing), slots=4)):
            await eventually(is_there)
            [live] = await list_workers_async(connection)
        assert await list_workers_async(connection) == []
        [gone] = await list_workers_async(connection, include_gone=True)
    assert (live.state, live.slots, live.enabled, live.hung_since) == (WorkerState.LIVE, 4, True, None)
    assert live.kinds == {"headrace.test.v1.Count": 1}
    assert live.silence < timedelta(seconds=3)
    assert (gone.id, gone.state) == (live.id, WorkerState.STOPPED)


async def test_a_list_of_a_long_queue_reads_a_bounded_number_of_jobs(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = JobFilter(states=(JobState.AVAILABLE,), queues=("q1",))
    async with await installation.connect() as connection:
        await _fill(connection, 900)
        few = await list_jobs_async(connection, waiting, limit=500)
        monkeypatch.setattr(search, "SCAN", 100)
        listed: list[Job] = []
        before_id, pages = None, 0
        while pages == 0 or before_id is not None:
            page = await list_jobs_async(connection, waiting, limit=50, before_id=before_id)
            listed, before_id, pages = [*listed, *page], page.before_id, pages + 1
        assert [job.id for job in listed] == [job.id for job in few]
        assert len(listed) == 300
        done = await cancel_jobs_async(connection, waiting)
        assert (done.matched, done.changed) == (300, 300)


async def _fill(connection: psycopg.AsyncConnection[Any], jobs: int) -> None:
    """Inserts available jobs, in three queues by turns."""
    await connection.execute(
        """
        insert into headrace.jobs (queue, kind, version, priority, max_retries, timeout_ms, payload, caller, state,
                                   ready_xid, ready_at)
        select 'q' || i %% 3, 'k', 1, 2, 3, 1000, '', '', 'available', pg_current_xact_id(), now()
        from generate_series(1, %s) as i
    """,
        (jobs,),
    )
    await connection.execute("vacuum analyze headrace.jobs")
