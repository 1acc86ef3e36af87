"""Counts are exact, whatever jobs have been through. Many jobs can be acted on at once, after a look at how many."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    BoundedCount,
    BulkResult,
    Cancel,
    Discard,
    JobFilter,
    JobNotActionableError,
    JobState,
    RunningJob,
    cancel_job_async,
    cancel_jobs_async,
    count_jobs_async,
    count_jobs_up_to_async,
    delete_job_async,
    delete_jobs_async,
    retry_job_async,
    retry_jobs_async,
)
from headrace.queue.db.statements import statement

pytestmark = pytest.mark.postgres_versions

TRUTH = "select queue, state::text, count(*) from headrace.jobs group by queue, state"


async def greet(message: Any, job: RunningJob) -> Any:
    """Does as its message says."""
    match message.name:
        case "cancel":
            return Cancel("as told")
        case "discard":
            return Discard("as told")
        case "raise":
            raise RuntimeError("as told")
    return None


async def counted(installation: Installation) -> dict[tuple[str, str], int]:
    async with await installation.connect() as connection:
        counts = await count_jobs_async(connection)
    found = {(queue, str(state)): jobs for queue, states in counts.items() for state, jobs in states.items()}
    assert found == {(queue, state): jobs for queue, state, jobs in await installation.execute(TRUTH)}
    return found


async def many(installation: Installation, eventually: Eventually) -> list[int]:
    """Ten jobs of each fate, all processed."""
    names = ["complete", "cancel", "discard", "raise"] * 10
    ids = [await installation.enqueue(TestKinds.Greet(name=name), max_retries=0) for name in names]

    async def done() -> bool:
        return not await installation.execute("select from headrace.jobs where finished_at is null")

    async with installation.working(installation.worker(installation.handlers(Greet=greet))):
        await eventually(done)
    return ids


async def test_counts_follow_jobs_through_every_state(installation: Installation, eventually: Eventually) -> None:
    ids = await many(installation, eventually)
    assert await counted(installation) == {
        ("greetings", "completed"): 10,
        ("greetings", "cancelled"): 10,
        ("greetings", "discarded"): 20,
    }
    waiting = [await installation.enqueue(TestKinds.Count()) for _ in range(3)]
    async with await installation.connect() as connection:
        await retry_job_async(connection, ids[2])
        await cancel_job_async(connection, waiting[0])
        await delete_job_async(connection, ids[0])
        await delete_job_async(connection, waiting[1])
        assert (await counted(installation))["greetings", "completed"] == 9
        for _ in range(2):
            await connection.execute(statement("fold_tallies"), {"most": 1000})
        assert await (await connection.execute("select count(*) from headrace.tallies")).fetchone() == (4,)
        assert (await counted(installation))["greetings", "discarded"] == 19
    await counted(installation)


async def test_retention_and_rescue_are_counted_too(installation: Installation, eventually: Eventually) -> None:
    await many(installation, eventually)
    running = [await installation.enqueue(TestKinds.Count()) for _ in range(2)]
    await installation.execute(
        "update headrace.jobs set finished_at = now() - interval '2 days' where state = 'completed'"
    )
    await installation.execute(
        "with dead as (insert into headrace.workers (name, queues, kinds, versions, dead_at)"
        " values ('gone', '{}', '{}', '{}', now()) returning id)"
        " update headrace.jobs set state = 'running', ready_xid = null, worker_id = dead.id, claim_no = 1,"
        " deaths = case when jobs.id = %s then 2 else 0 end from dead where jobs.id = any(%s)",
        (running[0], running),
    )
    await counted(installation)
    await installation.execute(statement("rescue"), {"max_deaths": 3})
    await installation.execute("update headrace.chores set next_at = '-infinity', position = 0")
    kept = dict.fromkeys(("completed", "cancelled", "discarded", "quarantined"), "1 day")
    await installation.execute(statement("clean_jobs"), {"page": 1000, "pause": "1 minute", **kept})
    assert await counted(installation) == {
        ("greetings", "cancelled"): 10,
        ("greetings", "discarded"): 20,
        ("numbers", "available"): 1,
        ("numbers", "quarantined"): 1,
    }


async def test_a_dry_run_counts_and_changes_nothing(installation: Installation, eventually: Eventually) -> None:
    await many(installation, eventually)
    before = await counted(installation)
    failed = JobFilter(states=(JobState.DISCARDED,), queues=("greetings",))
    async with await installation.connect() as connection:
        assert await retry_jobs_async(connection, failed, dry_run=True) == BulkResult(20, 0)
        assert await counted(installation) == before
        assert await retry_jobs_async(connection, failed) == BulkResult(20, 20)
        assert await retry_jobs_async(connection, failed) == BulkResult(0, 0)
        assert (await counted(installation))["greetings", "available"] == 20
        everything = JobFilter(kinds=("headrace.test.v1.Greet",))
        assert await cancel_jobs_async(connection, everything, dry_run=True) == BulkResult(20, 0)
        assert await cancel_jobs_async(connection, everything) == BulkResult(20, 20)
        assert await delete_jobs_async(connection, JobFilter(states=(JobState.COMPLETED,))) == BulkResult(10, 10)
        assert await counted(installation) == {("greetings", "cancelled"): 30}


async def test_running_jobs_are_cancelled_through_their_worker_and_never_deleted(
    installation: Installation, eventually: Eventually
) -> None:
    ids = [await installation.enqueue(TestKinds.Count()) for _ in range(2)]
    await installation.execute(
        "with one as (insert into headrace.workers (name, queues, kinds, versions)"
        " values ('one', '{}', '{}', '{}') returning id)"
        " update headrace.jobs set state = 'running', ready_xid = null, worker_id = one.id, claim_no = 1 from one"
    )
    numbers = JobFilter(queues=("numbers",))
    async with await installation.connect() as connection:
        assert await delete_jobs_async(connection, numbers) == BulkResult(0, 0)
        with pytest.raises(JobNotActionableError, match="running"):
            await delete_job_async(connection, ids[0])
        assert await cancel_jobs_async(connection, numbers) == BulkResult(2, 2)
    [(cancels,)] = await installation.execute("select cancels from headrace.workers")
    assert sorted(cancels) == ids
    await counted(installation)


async def test_an_empty_filter_is_refused(installation: Installation) -> None:
    async with await installation.connect() as connection:
        with pytest.raises(ValueError, match="every job"):
            await delete_jobs_async(connection, JobFilter())


async def test_a_long_queue_is_counted_no_further_than_asked_and_says_so(installation: Installation) -> None:
    later = datetime.now(UTC) + timedelta(days=1)
    for _ in range(3):
        await installation.enqueue(TestKinds.Greet())
        await installation.enqueue(TestKinds.Count(), run_at=later)
    await installation.enqueue(TestKinds.Count())
    async with await installation.connect() as connection:
        three, two = await count_jobs_up_to_async(connection, 3), await count_jobs_up_to_async(connection, 2)
        exact = await count_jobs_async(connection)
    assert exact == {
        "greetings": {JobState.AVAILABLE: 3},
        "numbers": {JobState.SCHEDULED: 3, JobState.AVAILABLE: 1},
    }
    assert {(queue, state): found for queue, states in three.items() for state, found in states.items()} == {
        (queue, state): BoundedCount(jobs, more=False)
        for queue, states in exact.items()
        for state, jobs in states.items()
    }
    assert two["greetings"] == {JobState.AVAILABLE: BoundedCount(2, more=True)}
    assert two["numbers"][JobState.AVAILABLE] == BoundedCount(1, more=False)
    assert two["numbers"][JobState.SCHEDULED].more
