"""Uniqueness: which jobs are duplicates of which, and that nothing but a new job ever feels it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation

from headrace.queue import (
    Enqueued,
    EnqueueError,
    JobState,
    KeyReusedError,
    NewJob,
    OptionInvalidError,
    Retention,
    Retry,
    RunningJob,
    Snooze,
    Unique,
    cancel_job_async,
    retry_job_async,
)
from headrace.queue.maintenance import cleaner

pytestmark = pytest.mark.postgres_versions

HOUR = timedelta(hours=1)
DEFAULT = Unique()
WAITING = frozenset({JobState.SCHEDULED, JobState.AVAILABLE})


def greeting(name: str = "Ada", unique: Unique | None = DEFAULT, **options: Any) -> NewJob:
    return NewJob(TestKinds.Greet(name=name), unique=unique, **options)


async def accept(installation: Installation, *jobs: NewJob) -> list[Any]:
    """Accepts and commits."""
    async with await installation.connect(autocommit=False) as connection:
        results: Sequence[Enqueued | EnqueueError] = await installation.enqueuer.enqueue_many_async(connection, jobs)
        return list(results)


def duplicate_of(first: Enqueued) -> Enqueued:
    return Enqueued(first.job_id, duplicate=True, reason="unique")


async def count(installation: Installation) -> int:
    [(jobs,)] = await installation.execute("select count(*) from headrace.jobs")
    return int(jobs)


async def move(installation: Installation, job_id: int, state: str) -> None:
    """Puts a job into a state, whatever leads there."""
    await installation.execute(
        "update headrace.jobs set state = %(state)s::headrace.job_state,"
        " ready_xid = case when %(state)s = 'available' then pg_current_xact_id() end,"
        " set_aside = case when %(state)s in ('cancelled', 'discarded', 'quarantined')"
        "                  then %(state)s::headrace.job_state end,"
        " due_at = case when %(state)s in ('scheduled', 'retryable') then now() + interval '1 day' end"
        " where id = %(id)s",
        {"state": state, "id": job_id},
    )


async def test_an_equal_job_is_answered_with_the_one_that_is_there(installation: Installation) -> None:
    [first] = await accept(installation, greeting())
    [again, other] = await accept(installation, greeting(), greeting("Bob"))
    assert again == duplicate_of(first)
    assert not other.duplicate
    assert await count(installation) == 2


async def test_within_a_batch_the_first_of_equal_jobs_stands(installation: Installation) -> None:
    results = await accept(installation, greeting(), greeting("Bob"), greeting(), greeting("Bob"), greeting())
    ada, bob = results[:2]
    assert results == [ada, bob, duplicate_of(ada), duplicate_of(bob), duplicate_of(ada)]
    assert await count(installation) == 2


async def test_jobs_that_want_no_uniqueness_are_never_duplicates(installation: Installation) -> None:
    [first] = await accept(installation, greeting())
    results = await accept(installation, greeting(unique=None), greeting(unique=None))
    assert [result.duplicate for result in results] == [False, False]
    assert await accept(installation, greeting()) == [duplicate_of(first)]


async def test_only_the_chosen_fields_must_be_equal(installation: Installation) -> None:
    def lines(name: str, *lines: str, by: Any) -> NewJob:
        return NewJob(TestKinds.Greet(name=name, lines=lines), unique=Unique(by=by))

    [first] = await accept(installation, lines("Ada", "a", by=("name",)))
    same, other = await accept(installation, lines("Ada", "b", by=("name",)), lines("Bob", "a", by=("name",)))
    assert same == duplicate_of(first)
    assert not other.duplicate
    [whole] = await accept(installation, lines("Ada", "a", by="all"))  # another uniqueness than that of the name
    assert not whole.duplicate
    [any_, any_again] = await accept(installation, lines("Ada", by=()), lines("Bob", "b", by=()))
    assert any_again == duplicate_of(any_)


async def test_a_kind_has_a_uniqueness_of_its_own_and_a_queue_if_it_is_asked_for(installation: Installation) -> None:
    [greet, count_] = await accept(installation, greeting(), NewJob(TestKinds.Count(name="Ada"), unique=Unique()))
    assert (greet.duplicate, count_.duplicate) == (False, False)
    assert await accept(installation, greeting(queue="elsewhere")) == [duplicate_of(greet)]
    apart = Unique(queue=True)
    here, there, again = await accept(
        installation, greeting(unique=apart), greeting(unique=apart, queue="x"), greeting(unique=apart, queue="x")
    )
    assert (here.duplicate, there.duplicate) == (False, False)
    assert again == duplicate_of(there)


@pytest.mark.parametrize("state", list(JobState))
async def test_a_job_counts_until_it_has_ended(installation: Installation, state: JobState) -> None:
    [first] = await accept(installation, greeting())
    await move(installation, first.job_id, state)
    [again] = await accept(installation, greeting())
    ended = state in ("completed", "cancelled", "discarded", "quarantined")
    assert again.duplicate == (not ended)
    assert await count(installation) == (2 if ended else 1)


async def test_with_states_of_ones_own_a_running_job_may_not_count(installation: Installation) -> None:
    waiting = Unique(states=WAITING)
    [first] = await accept(installation, greeting(unique=waiting))
    assert await accept(installation, greeting(unique=waiting)) == [duplicate_of(first)]
    await move(installation, first.job_id, "running")
    [second] = await accept(installation, greeting(unique=waiting))
    assert not second.duplicate
    # Who is asked for counts, whoever took the uniqueness under other states.
    assert await accept(installation, greeting()) == [duplicate_of(second)]


async def test_with_a_period_a_completed_job_counts_until_that_is_over(installation: Installation) -> None:
    hourly = Unique(period=HOUR)
    [first] = await accept(installation, greeting(unique=hourly))
    await move(installation, first.job_id, "completed")
    assert await accept(installation, greeting(unique=hourly)) == [duplicate_of(first)]
    await installation.execute("update headrace.jobs set created_at = now() - interval '61 minutes'")
    [second] = await accept(installation, greeting(unique=hourly))
    assert not second.duplicate
    assert await accept(installation, greeting(unique=hourly)) == [duplicate_of(second)]


async def test_equal_jobs_of_one_batch_with_different_rules_get_different_results(
    installation: Installation,
) -> None:
    [first] = await accept(installation, greeting())
    await move(installation, first.job_id, "completed")
    long_, short, again = await accept(
        installation, greeting(unique=Unique(period=HOUR)), greeting(), greeting(unique=Unique(period=HOUR))
    )
    assert long_ == again == duplicate_of(first)
    assert not short.duplicate


async def test_a_job_that_is_deleted_leaves_its_uniqueness(installation: Installation) -> None:
    [first] = await accept(installation, greeting())
    await installation.execute("delete from headrace.jobs")
    [second] = await accept(installation, greeting())
    assert not second.duplicate
    assert second.job_id != first.job_id


@pytest.mark.parametrize(
    ("unique", "complaint"),
    [
        (Unique(by=("nmae",)), r"unique\.by must name fields of headrace\.test\.v1\.Greet \(lines, name\), not nmae"),
        (Unique(period=timedelta(0)), r"unique\.period must be above 0"),
        (Unique(states=frozenset({JobState.RUNNING})), r"unique\.states must have scheduled and available among them"),
    ],
)
async def test_a_uniqueness_that_makes_no_sense_is_refused(
    installation: Installation, unique: Unique, complaint: str
) -> None:
    [refused] = await accept(installation, greeting(unique=unique))
    with pytest.raises(OptionInvalidError, match=complaint):
        raise refused


class TestWithIdempotencyKeys:
    """The answer tells which of the two made a job a duplicate, and a key stands for the job that was answered."""

    async def test_the_key_goes_first(self, installation: Installation) -> None:
        [first] = await accept(installation, greeting(key="k"))
        assert await accept(installation, greeting(key="k")) == [Enqueued(first.job_id, duplicate=True, reason="key")]

    async def test_a_new_key_for_a_duplicate_stands_for_the_job_that_is_there(self, installation: Installation) -> None:
        [first] = await accept(installation, greeting())
        same, follower, other = await accept(
            installation, greeting(key="k"), greeting(key="k"), greeting("Bob", unique=None, key="k")
        )
        assert same == duplicate_of(first)
        assert follower == Enqueued(first.job_id, duplicate=True, reason="key")
        assert isinstance(other, KeyReusedError)
        assert other.job_id == first.job_id
        await move(installation, first.job_id, "completed")
        assert await accept(installation, greeting(key="k")) == [Enqueued(first.job_id, duplicate=True, reason="key")]

    async def test_a_key_and_a_uniqueness_that_are_both_new_stand_for_the_same_job(
        self, installation: Installation
    ) -> None:
        [first] = await accept(installation, greeting(key="k"))
        assert await accept(installation, greeting(key="l")) == [duplicate_of(first)]
        assert (await installation.job(first.job_id)).state == "available"


class TestUnderConcurrency:
    """A valid job is never an error, and a winner that rolls back takes nothing with it."""

    @staticmethod
    async def waits_for_a_lock(installation: Installation) -> bool:
        rows = await installation.execute(
            "select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
        )
        return bool(rows)

    @pytest.mark.parametrize("held_before", [False, True])
    async def test_the_loser_of_a_race_is_answered_with_the_winners_job(
        self, installation: Installation, eventually: Eventually, held_before: bool
    ) -> None:
        await self.hold(installation, held_before)
        async with await installation.connect(autocommit=False) as connection:
            [winner] = await installation.enqueuer.enqueue_many_async(connection, [greeting()])
            loser = asyncio.create_task(accept(installation, greeting()))
            await eventually(lambda: self.waits_for_a_lock(installation))
            await connection.commit()
            assert isinstance(winner, Enqueued)
            assert await loser == [duplicate_of(winner)]

    @pytest.mark.parametrize("held_before", [False, True])
    async def test_a_winner_that_rolls_back_loses_no_job(
        self, installation: Installation, eventually: Eventually, held_before: bool
    ) -> None:
        await self.hold(installation, held_before)
        async with await installation.connect(autocommit=False) as connection:
            [winner] = await installation.enqueuer.enqueue_many_async(connection, [greeting()])
            losers = [asyncio.create_task(accept(installation, greeting())) for _ in range(3)]
            await eventually(lambda: self.waits_for_a_lock(installation))
            await connection.rollback()
            results = [result for [result] in await asyncio.gather(*losers)]
        [new] = [result for result in results if not result.duplicate]
        assert [result for result in results if result.duplicate] == [duplicate_of(new)] * 2
        assert isinstance(winner, Enqueued)
        assert new.job_id != winner.job_id
        assert (await installation.job(new.job_id)).state == "available"

    @staticmethod
    async def hold(installation: Installation, held_before: bool) -> None:
        """Has the uniqueness held by a job that no longer counts, if so asked."""
        if held_before:
            [first] = await accept(installation, greeting())
            await move(installation, first.job_id, "completed")

    async def test_batches_in_any_order_agree_and_dont_deadlock(self, installation: Installation) -> None:
        """New uniquenesses and ones to be taken over, from many sides at once, some of which roll back."""
        shuffled = random.Random(7)
        names = [f"guest {n}" for n in range(60)]
        await accept(installation, *(greeting(name) for name in names[::2]))

        async def batch() -> list[tuple[str, Enqueued]]:
            mine = shuffled.sample(names, 40)
            async with await installation.connect(autocommit=False) as connection:
                results = await installation.enqueuer.enqueue_many_async(connection, [greeting(name) for name in mine])
                if shuffled.random() < 0.3:
                    await connection.rollback()
                    return []
            accepted = [result for result in results if isinstance(result, Enqueued)]
            return list(zip(mine, accepted, strict=True))

        for _ in range(6):
            await installation.execute("update headrace.jobs set state = 'completed', ready_xid = null")
            answered = [each for batch_ in await asyncio.gather(*(batch() for _ in range(6))) for each in batch_]
            waiting = await installation.execute("select id from headrace.jobs where state = 'available'")
            standing = {job_id for (job_id,) in waiting}
            for name in names:
                answers = [answer for each, answer in answered if each == name]
                assert len({answer.job_id for answer in answers}) <= 1, name
                assert sum(not answer.duplicate for answer in answers) == min(1, len(answers)), name
                assert all(answer.job_id in standing for answer in answers), name
            assert len(standing) == len({name for name, _ in answered})


class TestAfterwards:
    """What happens to a job later is never refused for the sake of uniqueness."""

    async def test_a_finished_job_is_retried_beside_the_one_that_took_its_place(
        self, installation: Installation
    ) -> None:
        [first] = await accept(installation, greeting())
        async with await installation.connect() as connection:
            await cancel_job_async(connection, first.job_id)
            [second] = await accept(installation, greeting())
            assert not second.duplicate
            assert (await retry_job_async(connection, first.job_id)).state == "available"

    @pytest.mark.parametrize("outcome", [Retry("once more", after=timedelta(0)), Snooze(timedelta(milliseconds=1))])
    async def test_retries_and_schedules_go_on_beside_a_new_equal_job(
        self, installation: Installation, eventually: Eventually, outcome: Any
    ) -> None:
        """Oban #1416, Procrastinate #1446: a job that came back to a state in which another one was unique failed."""
        unique = Unique(states=WAITING)
        [first] = await accept(installation, greeting(unique=unique))
        seconds: list[Enqueued] = []
        runs: list[int] = []

        async def greet(message: Any, job: RunningJob) -> Any:
            runs.append(job.id)
            if job.id == first.job_id and not seconds:
                # While this one runs, an equal one may come. It waits until this one is available again, and longer.
                later = datetime.now(UTC) + timedelta(minutes=1)
                seconds.extend(await accept(installation, greeting(unique=unique, run_at=later)))
                return outcome
            return None

        async with installation.working(installation.worker(installation.handlers(Greet=greet))):
            await eventually(lambda: installation.is_in(first.job_id, "completed"))
        assert runs == [first.job_id, first.job_id]
        assert not seconds[0].duplicate
        assert (await installation.job(seconds[0].job_id)).state == "scheduled"

    async def test_one_unique_job_among_the_due_never_keeps_the_others_back(
        self, installation: Installation, eventually: Eventually
    ) -> None:
        """One statement makes all due jobs available; it must not fail, nor leave any of them behind."""
        ran: set[int] = set()

        async def greet(message: Any, job: RunningJob) -> None:
            ran.add(job.id)

        soon = datetime.now(UTC) + timedelta(milliseconds=200)
        unique = Unique(states=WAITING)
        due = await accept(installation, *(greeting(f"guest {n}", unique, run_at=soon) for n in range(20)))
        for result in due[:10]:  # as a worker would have left them, with equal ones available meanwhile
            await installation.execute("update headrace.jobs set state = 'retryable' where id = %s", [result.job_id])
        beside = await accept(installation, *(greeting(f"guest {n}", unique) for n in range(10)))
        assert not any(result.duplicate for result in beside)
        async with installation.working(installation.worker(installation.handlers(Greet=greet))):
            await eventually(lambda: installation.is_in(due[-1].job_id, "completed"))
            await eventually(lambda: installation.is_in(due[0].job_id, "completed"))
        assert ran >= {result.job_id for result in (*due, *beside)}

    async def test_a_rescue_goes_on_beside_a_new_equal_job(
        self, installation: Installation, eventually: Eventually
    ) -> None:
        unique = Unique(states=WAITING)
        [first] = await accept(installation, greeting(unique=unique))
        [(worker_id,)] = await installation.execute(
            "insert into headrace.workers (name, queues, kinds, versions, dead_at)"
            " values ('gone', '{}', '{}', '{}', now()) returning id"
        )
        await installation.execute(
            "update headrace.jobs set state = 'running', ready_xid = null, worker_id = %s, claim_no = 1, lease = 1,"
            " attempt = 1, claimed_at = now() where id = %s",
            [worker_id, first.job_id],
        )
        [second] = await accept(installation, greeting(unique=unique))
        assert not second.duplicate

        async def greet(message: Any, job: RunningJob) -> None:
            """Completes its job."""

        async with installation.working(installation.worker(installation.handlers(Greet=greet))):
            await eventually(lambda: installation.is_in(first.job_id, "completed"))
            await eventually(lambda: installation.is_in(second.job_id, "completed"))

    async def test_the_uniqueness_of_jobs_that_are_gone_is_forgotten(
        self, installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cleaner, "PAGE", 3)
        monkeypatch.setattr(cleaner, "BETWEEN_PAGES", timedelta(0))
        results = await accept(installation, *(greeting(f"guest {n}") for n in range(10)))
        await installation.execute(
            "update headrace.jobs set state = 'completed', ready_xid = null,"
            " finished_at = now() - interval '2 hours' where mod(id, 2) = 0"
        )
        kept = sorted((result.job_id,) for result in results if result.job_id % 2)

        async def forgotten() -> bool:
            left = await installation.execute("select job_id from headrace.unique_keys order by job_id")
            return bool(left == kept)

        async def count(message: Any, job: RunningJob) -> None:
            """Completes its job."""

        worker = installation.worker(installation.handlers(Count=count), retention=Retention(completed=HOUR))
        async with installation.working(worker):
            await eventually(forgotten)
