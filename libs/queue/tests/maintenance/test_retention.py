"""What is past its retention goes; what is alive, or still wanted, stays."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import NewJob, Retention, RunningJob, set_retention_async
from headrace.queue.maintenance import cleaner

RETENTION = Retention(
    completed=timedelta(hours=24),
    cancelled=timedelta(hours=2),
    discarded=timedelta(days=14),
    quarantined=timedelta(days=30),
)
# State, age in hours of its end (None: it has not ended), and whether it is kept.
JOBS = [
    ("completed", 25, False),
    ("completed", 23, True),
    ("cancelled", 3, False),
    ("cancelled", 1, True),
    ("discarded", 25, True),
    ("discarded", 14 * 24 + 1, False),
    ("quarantined", 30 * 24 - 1, True),
    ("quarantined", 30 * 24 + 1, False),
    ("scheduled", None, True),
    ("retryable", None, True),
    ("running", None, True),
    ("pending", None, True),
]


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


def tidy_worker(installation: Installation) -> Any:
    return installation.worker(installation.handlers(Count=do_nothing), retention=RETENTION)


async def put(installation: Installation, state: str, hours: int | None) -> int:
    """A job in that state, which it reached so many hours ago; created long before."""
    job_id: int = await installation.enqueue(TestKinds.Greet())
    await installation.execute(
        "update headrace.jobs set state = %(state)s::headrace.job_state, ready_xid = null,"
        " created_at = now() - interval '1 year',"
        " set_aside = case when %(state)s in ('cancelled', 'discarded', 'quarantined')"
        "                  then %(state)s::headrace.job_state end,"
        " due_at = case when %(state)s in ('scheduled', 'retryable') then now() + interval '1 day' end,"
        " finished_at = now() - make_interval(hours => %(hours)s) where id = %(id)s",
        {"state": state, "hours": hours, "id": job_id},
    )
    return job_id


async def test_jobs_are_deleted_after_their_retention_and_live_ones_never(
    installation: Installation, eventually: Eventually
) -> None:
    kept = {await put(installation, state, hours): keep for state, hours, keep in JOBS}
    waiting = await installation.enqueue(TestKinds.Greet())
    await installation.execute("update headrace.jobs set created_at = now() - interval '1 year'")
    expected = sorted([*(job_id for job_id, keep in kept.items() if keep), waiting])

    async def tidied() -> bool:
        return [
            job_id for (job_id,) in await installation.execute("select id from headrace.jobs order by id")
        ] == expected

    async with installation.working(tidy_worker(installation)):
        await eventually(tidied)


async def test_the_walk_goes_on_page_by_page_and_then_rests(
    installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "PAGE", 3)
    monkeypatch.setattr(cleaner, "BETWEEN_PAGES", timedelta(0))
    for n in range(20):
        await put(installation, "completed", 25 if n % 2 else 1)

    async def half() -> bool:
        return len(await installation.execute("select from headrace.jobs")) == 10

    async def rests() -> bool:
        resting = "select from headrace.chores where name = 'clean_jobs' and position = 0 and next_at > now()"
        return bool(await installation.execute(resting))

    async with installation.working(tidy_worker(installation)):
        await eventually(half)
        await eventually(rests)


async def test_keys_and_workers_are_forgotten_when_their_time_is_over(
    installation: Installation, eventually: Eventually
) -> None:
    async with await installation.connect() as connection:
        await installation.enqueuer.enqueue_many_async(
            connection, [NewJob(TestKinds.Count(), key=key) for key in ("old", "new")]
        )
    await installation.execute("update headrace.idempotency_keys set expires_at = now() where key = 'old'")
    await installation.execute(
        "insert into headrace.workers (name, queues, kinds, versions, dead_at) values"
        " ('long gone', '{}', '{}', '{}', now() - interval '31 days'), ('lately', '{}', '{}', '{}', now())"
    )

    async def tidied() -> bool:
        keys = await installation.execute("select key from headrace.idempotency_keys")
        workers = await installation.execute("select name from headrace.workers where dead_at is not null")
        return (keys, workers) == ([("new",)], [("lately",)])

    async with installation.working(tidy_worker(installation)):
        await eventually(tidied)


async def test_acts_are_forgotten_after_their_retention_page_by_page(
    installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cleaner, "PAGE", 3)
    monkeypatch.setattr(cleaner, "BETWEEN_PAGES", timedelta(0))
    await installation.execute(
        "insert into headrace.audit_log (at, actor, action, subject)"
        " select now() - make_interval(days => days), 'ops', 'CancelJob', 'job:' || days"
        " from generate_series(20, 1, -1) as days"
    )

    async def tidied() -> bool:
        kept = await installation.execute("select subject from headrace.audit_log order by id")
        return [subject for (subject,) in kept] == [f"job:{days}" for days in range(6, 0, -1)]

    settings: dict[str, Any] = {"retention": RETENTION, "audit_retention": timedelta(days=6, hours=12)}
    async with installation.working(installation.worker(installation.handlers(Count=do_nothing), **settings)):
        await eventually(tidied)


async def test_an_act_of_the_last_day_cannot_be_forgotten(installation: Installation) -> None:
    with pytest.raises(ValueError, match="audit_retention must be at least a day"):
        installation.worker(installation.handlers(Count=do_nothing), audit_retention=timedelta(hours=23))
    await installation.execute(
        "insert into headrace.audit_log (at, actor, action, subject) values"
        " (now() - interval '25 hours', 'ops', 'CancelJob', 'job:1'), (now(), 'ops', 'CancelJob', 'job:2')"
    )
    assert await installation.execute("select headrace.clean_audit_log('0 s', 100)") == [(1,)]


async def test_a_queues_own_retention_goes_before_the_general_one(
    installation: Installation, eventually: Eventually
) -> None:
    hours = {"completed": 1, "cancelled": 1, "discarded": 100}
    ids = {state: await put(installation, state, age) for state, age in hours.items()}
    async with await installation.connect() as connection:
        await set_retention_async(
            connection, "greetings", completed=timedelta(minutes=30), discarded=timedelta(hours=99)
        )
        with pytest.raises(ValueError, match="retention of queue 'greetings': completed must be at least 0"):
            await set_retention_async(connection, "greetings", completed=timedelta(-1))

    async def left() -> bool:
        return bool(await installation.execute("select id from headrace.jobs") == [(ids["cancelled"],)])

    async with installation.working(tidy_worker(installation)):
        await eventually(left)
