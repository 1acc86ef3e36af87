"""Periodic jobs: one per tick, whoever and however many are at work, over changed clocks and changed definitions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    KindUnknownError,
    MissedTicks,
    PayloadInvalidError,
    Periodic,
    PeriodicExistsError,
    PeriodicJob,
    PeriodicNotFoundError,
    RunningJob,
    create_periodic_async,
    delete_periodic_async,
    get_periodic_async,
    list_periodic_async,
    pause_periodic_async,
    resume_periodic_async,
    update_periodic_async,
)
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import statement
from headrace.queue.maintenance.scheduler import Scheduler

QUICK = timedelta(milliseconds=150)
HOUR = timedelta(hours=1)
NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


def worker(installation: Installation, *periodic: Periodic) -> Any:
    return installation.worker(installation.handlers(Count=do_nothing), periodic=periodic)


def tidy(name: str = "tidy", **definition: Any) -> Periodic:
    definition = definition or {"every": HOUR}
    return Periodic(name, payload=TestKinds.Count(name=name), **definition)


async def jobs(installation: Installation) -> int:
    [(count,)] = await installation.execute("select count(*) from headrace.jobs")
    return int(count)


class Replicas:
    """The schedulers of several workers, under a clock that the test moves."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.schedulers: list[Scheduler] = []
        self.links = [
            ReconnectingConnection(installation.dsn, purpose="maintenance", schema="headrace") for _ in range(3)
        ]

    async def prepare(self) -> None:
        await self.installation.execute("create table clock as select now() as at")
        await self.installation.execute(
            "create or replace function headrace.clock() returns timestamptz language sql stable as"
            " 'select at from public.clock'"
        )
        self.declare()

    def declare(self, *periodic: Periodic) -> None:
        """Restarts the workers, with this in their code."""
        kinds = self.installation.kinds
        self.schedulers = [Scheduler(link, kinds, periodic, "headrace") for link in self.links]

    async def at(self, moment: datetime) -> None:
        """Sets the clock, and lets all replicas do what is due, at the same time."""
        await self.installation.execute("update public.clock set at = %s", (moment,))
        for _ in range(2):
            await asyncio.gather(*(self.run(scheduler) for scheduler in self.schedulers))

    async def run(self, scheduler: Scheduler) -> None:
        while await scheduler.step() == timedelta(0):
            pass

    async def call(self, act: Any, *args: Any, **options: Any) -> Any:
        async with await self.installation.connect() as connection:
            return await act(connection, *args, **options)

    async def ticks(self) -> list[datetime]:
        """The ticks that got a job, in the order of the jobs."""
        rows = await self.installation.execute("select metadata ->> 'scheduled_at' from headrace.jobs order by id")
        return [datetime.fromisoformat(text) for (text,) in rows]

    async def hours(self) -> list[float]:
        """The same, as hours after noon."""
        return [(tick - NOON) / HOUR for tick in await self.ticks()]


@pytest.fixture
async def replicas(installation: Installation) -> AsyncIterator[Replicas]:
    replicas = Replicas(installation)
    await replicas.prepare()
    yield replicas
    for link in replicas.links:
        await link.close()


async def test_any_number_of_workers_make_one_job_per_tick(installation: Installation, eventually: Eventually) -> None:
    async def several() -> bool:
        return await jobs(installation) >= 5

    async with AsyncExitStack() as stack:
        for _ in range(3):
            await stack.enter_async_context(installation.working(worker(installation, tidy(every=QUICK))))
        await eventually(several)
    rows = await installation.execute("select metadata ->> 'scheduled_at' from headrace.jobs order by id")
    ticks = [datetime.fromisoformat(text) for (text,) in rows]
    assert len(ticks) == len(set(ticks))
    assert all((tick - ticks[0]) % QUICK == timedelta(0) for tick in ticks)


async def test_its_job_is_like_any_other_and_knows_its_tick(installation: Installation, eventually: Eventually) -> None:
    seen: list[datetime | None] = []

    async def count(message: Any, job: RunningJob) -> None:
        seen.append(job.scheduled_at)

    async def completed() -> bool:
        return bool(await installation.execute("select from headrace.jobs where state = 'completed'"))

    handlers = installation.handlers(Count=count)
    async with installation.working(installation.worker(handlers, periodic=[tidy()])):
        await eventually(completed)
    [(kind, queue, caller, payload, metadata)] = await installation.execute(
        "select kind, queue, caller, payload, metadata from headrace.jobs"
    )
    assert (kind, queue, caller) == ("headrace.test.v1.Count", "numbers", "periodic")
    assert TestKinds.Count.FromString(payload).name == "tidy"
    [(tick,)] = await installation.execute("select last_at from headrace.periodic_jobs")
    assert seen == [tick]
    assert metadata == {"periodic": "tidy", "scheduled_at": tick.isoformat()}


async def test_a_shorter_interval_counts_at_once(installation: Installation, eventually: Eventually) -> None:
    async def more(than: int) -> bool:
        return bool(await jobs(installation) > than)

    async with installation.working(worker(installation, tidy(every=HOUR))):
        await eventually(lambda: more(0))
    async with installation.working(worker(installation, tidy(every=QUICK))):
        await eventually(lambda: more(2))


@pytest.mark.parametrize(
    ("day", "shown"),
    [
        (datetime(2026, 3, 28, tzinfo=UTC), ["28. 02:30 CET", "29. 03:00 CEST", "30. 02:30 CEST"]),
        (datetime(2026, 10, 24, tzinfo=UTC), ["24. 02:30 CEST", "25. 02:30 CEST", "26. 02:30 CET"]),
    ],
)
async def test_a_day_on_which_clocks_change_has_one_job_like_any_other(
    replicas: Replicas, day: datetime, shown: list[str]
) -> None:
    replicas.declare(tidy(cron="0 30 2 * * *", time_zone="Europe/Berlin"))
    for quarters in range(3 * 24 * 4):
        if (quarters / 4) % 24 < 4:  # around the change; nothing ticks in the rest of the day
            await replicas.at(day + quarters * timedelta(minutes=15))
    ticks = await replicas.ticks()
    assert [tick.astimezone(ZoneInfo("Europe/Berlin")).strftime("%d. %H:%M %Z") for tick in ticks] == shown


@pytest.mark.parametrize(
    ("policy", "hours"),
    [
        ({"missed": MissedTicks.SKIP}, [0, 11]),
        ({"missed": MissedTicks.ONE}, [0, 10, 11]),
        ({"missed": MissedTicks.ONE, "window": timedelta(minutes=20)}, [0, 11]),
        ({"missed": MissedTicks.ALL, "window": timedelta(hours=3)}, [0, 8, 9, 10, 11]),
    ],
)
async def test_what_was_missed_while_no_worker_ran_is_made_up_for_by_policy(
    replicas: Replicas, policy: dict[str, Any], hours: list[float]
) -> None:
    replicas.declare(tidy(every=HOUR, **policy))
    await replicas.at(NOON)
    await replicas.at(NOON + timedelta(hours=10, minutes=30))
    await replicas.at(NOON + timedelta(hours=11))
    assert await replicas.hours() == hours


async def test_a_tick_is_not_repeated_by_a_restart_or_a_clock_set_back(replicas: Replicas) -> None:
    replicas.declare(tidy(cron="0 * * * *"))
    await replicas.at(NOON - timedelta(minutes=5))
    await replicas.at(NOON)
    await replicas.installation.execute("update headrace.periodic_jobs set next_at = next_at - interval '3 hours'")
    replicas.declare(tidy(cron="0 * * * *"))
    await replicas.at(NOON - timedelta(minutes=1))
    await replicas.at(NOON)
    await replicas.at(NOON + HOUR)
    assert await replicas.hours() == [0, 1]


async def test_a_tick_whose_process_dies_in_the_middle_is_made_by_another(replicas: Replicas) -> None:
    """No lease of a leader has to run out: its row lock goes with its connection."""
    replicas.declare(tidy())
    await replicas.at(NOON)
    await replicas.installation.execute("update public.clock set at = %s", (NOON + HOUR,))
    async with await replicas.installation.connect(autocommit=False) as dying:
        taken = {"names": ["tidy"], "kinds": ["headrace.test.v1.Count"], "excluded": []}
        assert await (await dying.execute(statement("take_periodic"), taken)).fetchone() is not None
        await replicas.run(replicas.schedulers[0])
        assert await replicas.hours() == [0], "it is in another's hands"
        await dying.close()
    await replicas.at(NOON + HOUR)
    assert await replicas.hours() == [0, 1]


async def test_a_periodic_job_that_no_worker_declares_any_more_stops(replicas: Replicas) -> None:
    replicas.declare(tidy("old"))
    await replicas.at(NOON)
    replicas.declare(tidy("new"))
    for hour in range(1, 4):
        await replicas.at(NOON + hour * HOUR)
    rows = await replicas.installation.execute("select metadata ->> 'periodic' from headrace.jobs order by id")
    assert rows == [("old",), ("new",), ("new",), ("new",)]


async def test_one_that_is_made_at_run_time_needs_no_code(replicas: Replicas) -> None:
    await replicas.at(NOON - timedelta(minutes=1))
    kinds = replicas.installation.kinds
    made = await replicas.call(create_periodic_async, tidy(cron="*/30 * * * *", time_zone="Asia/Kolkata"), kinds=kinds)
    assert made == await replicas.call(get_periodic_async, "tidy")
    assert (made.next_runs, made.declared, made.window) == ((NOON,), False, None)
    with pytest.raises(PeriodicExistsError, match="there is a periodic job 'tidy' already"):
        await replicas.call(create_periodic_async, tidy(), kinds=kinds)
    await replicas.at(NOON)
    await replicas.at(NOON + HOUR / 2)
    assert await replicas.hours() == [0, 0.5]


async def test_a_change_at_run_time_stands_until_the_code_says_something_new(replicas: Replicas) -> None:
    replicas.declare(tidy(every=HOUR))
    await replicas.at(NOON)
    kinds = replicas.installation.kinds
    changed = await replicas.call(update_periodic_async, tidy(every=3 * HOUR), kinds=kinds)
    assert (changed.every, changed.next_runs, changed.declared) == (3 * HOUR, (NOON + 3 * HOUR,), True)
    replicas.declare(tidy(every=HOUR))  # a restart of the same code
    await replicas.at(NOON + 2 * HOUR)
    await replicas.at(NOON + 3 * HOUR)
    replicas.declare(tidy(every=HOUR / 2))
    await replicas.at(NOON + 3.25 * HOUR)
    await replicas.at(NOON + 3.75 * HOUR)
    assert await replicas.hours() == [0, 3, 3.75]
    with pytest.raises(PeriodicNotFoundError, match="there is no periodic job 'other'"):
        await replicas.call(update_periodic_async, tidy("other"), kinds=kinds)


async def test_a_pause_leaves_nothing_to_be_made_up_for(replicas: Replicas) -> None:
    definition = tidy(every=HOUR, missed=MissedTicks.ALL, window=timedelta(days=1))
    replicas.declare(definition)
    await replicas.at(NOON)
    first = await replicas.call(pause_periodic_async, "tidy", by="ann")
    again = await replicas.call(pause_periodic_async, "tidy", by="bob")
    assert (again.paused_by, again.paused_at, again.next_runs) == ("ann", first.paused_at, ())
    replicas.declare(tidy(every=HOUR / 2))  # even new code does not end a pause
    await replicas.at(NOON + 5.25 * HOUR)
    resumed = await replicas.call(resume_periodic_async, "tidy")
    assert (resumed.paused_at, resumed.next_runs) == (None, (NOON + 5.5 * HOUR,))
    assert await replicas.call(resume_periodic_async, "tidy") == resumed
    await replicas.at(NOON + 5.5 * HOUR)
    assert await replicas.hours() == [0, 5.5]
    with pytest.raises(PeriodicNotFoundError):
        await replicas.call(pause_periodic_async, "other", by="ann")
    with pytest.raises(PeriodicNotFoundError):
        await replicas.call(resume_periodic_async, "other")


async def test_one_that_is_deleted_ticks_no_more_and_its_jobs_stay(replicas: Replicas) -> None:
    await replicas.at(NOON)
    await replicas.call(create_periodic_async, tidy(), kinds=replicas.installation.kinds)
    await replicas.at(NOON)
    await replicas.call(delete_periodic_async, "tidy")
    await replicas.at(NOON + HOUR)
    assert await replicas.hours() == [0]
    with pytest.raises(PeriodicNotFoundError):
        await replicas.call(delete_periodic_async, "tidy")


async def test_the_list_shows_the_next_runs(replicas: Replicas) -> None:
    await replicas.at(NOON)
    kinds = replicas.installation.kinds
    await replicas.call(
        create_periodic_async, tidy("nightly", cron="30 2 * * *", time_zone="Europe/Berlin"), kinds=kinds
    )
    await replicas.call(create_periodic_async, tidy("hourly"), kinds=kinds)
    await replicas.at(NOON)
    hourly, nightly = await replicas.call(list_periodic_async, runs=3)
    assert isinstance(hourly, PeriodicJob)
    assert [hourly.name, nightly.name] == ["hourly", "nightly"]
    assert hourly.next_runs == (NOON + HOUR, NOON + 2 * HOUR, NOON + 3 * HOUR)
    assert hourly.last_at == NOON
    assert [tick.isoformat() for tick in nightly.next_runs] == [f"2026-06-0{day}T00:30:00+00:00" for day in (2, 3, 4)]


async def test_a_worker_leaves_alone_what_it_cant_run(replicas: Replicas, caplog: pytest.LogCaptureFixture) -> None:
    await replicas.at(NOON)
    for name in ("far", "here", "strange"):
        await replicas.call(create_periodic_async, tidy(name), kinds=replicas.installation.kinds)
    await replicas.installation.execute("update headrace.periodic_jobs set kind = 'shop.Other' where name = 'strange'")
    await replicas.installation.execute(
        "update headrace.periodic_jobs set every = null, cron = '* * * * *', time_zone = 'Mars/Olympus'"
        " where name = 'far'"
    )
    await replicas.at(NOON + HOUR)
    rows = await replicas.installation.execute("select metadata ->> 'periodic' from headrace.jobs order by id")
    assert rows == [("here",)]
    assert "the periodic job far is left to other workers: time zone 'Mars/Olympus' is unknown" in caplog.text


async def test_a_payload_is_checked_when_it_is_declared(installation: Installation) -> None:
    wrong = Periodic("tidy", every=HOUR, payload=TestKinds.Count(name="x" * 101))
    with pytest.raises(PayloadInvalidError, match="name"):
        worker(installation, wrong)
    with pytest.raises(KindUnknownError):
        worker(installation, Periodic("tidy", every=HOUR, payload=TestKinds.NoKind()))
    async with await installation.connect() as connection:
        with pytest.raises(PayloadInvalidError):
            await create_periodic_async(connection, wrong, kinds=installation.kinds)


async def test_a_worker_of_the_version_before_ticks_beside_newer_ones(replicas: Replicas) -> None:
    """Its statement knows intervals only: of a cron job it leaves no next time behind."""
    replicas.declare(tidy(cron="0 * * * *"))
    await replicas.at(NOON - timedelta(minutes=1))
    await replicas.installation.execute("update public.clock set at = %s", (NOON,))
    await replicas.installation.execute(
        "update headrace.periodic_jobs as p set next_at = p.next_at + p.every * (1 + floor("
        "extract(epoch from %s - p.next_at) / extract(epoch from p.every)))",
        (NOON,),
    )
    await replicas.at(NOON + timedelta(minutes=1))
    await replicas.at(NOON + HOUR)
    assert await replicas.hours() == [1]
