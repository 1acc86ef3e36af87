"""How queues move: the longest wait, the rate, the workers; and what follows for the time that a line takes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import QueueStats, RunningJob, queue_stats_async


async def flows(installation: Installation, *queues: str) -> dict[str, QueueStats]:
    async with await installation.connect() as connection:
        return await queue_stats_async(connection, queues or None)


async def greet(message: Any, job: RunningJob) -> None:
    """Completes its job."""


async def test_without_jobs_and_workers_nothing_moves(installation: Installation) -> None:
    assert await flows(installation) == {}


async def test_a_queues_longest_wait_is_that_of_its_oldest_available_job(installation: Installation) -> None:
    for minutes, priority in ((5, 1), (90, 4), (30, 2)):
        job_id = await installation.enqueue(TestKinds.Greet(), priority=priority)
        await installation.execute(
            "update headrace.jobs set ready_at = now() - %s where id = %s", (timedelta(minutes=minutes), job_id)
        )
    await installation.enqueue(TestKinds.Count())
    found = await flows(installation)
    waits = {queue: flow.oldest_wait or timedelta.min for queue, flow in found.items()}
    assert timedelta(minutes=90) <= waits["greetings"] < timedelta(minutes=91)
    assert timedelta(0) <= waits["numbers"] < timedelta(minutes=1)
    assert set(await flows(installation, "numbers", "nothing")) == {"numbers"}


async def test_workers_that_are_idle_stopped_or_gone_count_for_nothing(
    installation: Installation, eventually: Eventually
) -> None:
    handlers = installation.handlers(Greet=greet, Count=greet)

    async def both() -> bool:
        return len(await installation.execute("select from headrace.workers where free is not null")) == 2

    await installation.execute(
        "insert into headrace.workers (name, queues, kinds, versions, beat_at, rates)"
        " values ('gone', '{greetings}', '{}', '{}', now() - interval '1 minute', '{\"greetings\": 9}')"
    )
    async with (
        installation.working(installation.worker(handlers, queue_slots={"numbers": 0})),
        installation.working(installation.worker(handlers, enabled=False)),
    ):
        await eventually(both)
        assert await flows(installation) == {"greetings": QueueStats("greetings", None, 0.0, 1)}
    assert await flows(installation) == {}


async def test_the_rates_of_workers_are_added(installation: Installation) -> None:
    for rate in (1.5, 2.25):
        await installation.execute(
            "insert into headrace.workers (name, queues, kinds, versions, rates)"
            " values ('one', '{greetings,numbers}', '{}', '{}', jsonb_build_object('greetings', %s::float8))",
            (rate,),
        )
    found = await flows(installation)
    assert found["greetings"] == QueueStats("greetings", None, 3.75, 2)
    assert found["numbers"] == QueueStats("numbers", None, 0.0, 2)


@pytest.mark.parametrize(
    ("rate", "jobs", "expected"),
    [
        (2.0, 5, timedelta(seconds=2.5)),
        (0.0, 5, None),
        (0.0, 0, timedelta(0)),
        (0.001, 10**12, timedelta(days=3660)),
    ],
)
def test_the_time_that_jobs_take_follows_from_the_rate(rate: float, jobs: int, expected: timedelta | None) -> None:
    assert QueueStats("q", None, rate, 1).time_for(jobs) == expected
