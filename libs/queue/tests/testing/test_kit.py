"""The test kit: in a transaction that is rolled back, with the engine's own statements."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from engine_kinds import TestKinds
from installation import Installation
from process_handlers import handle_async
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from headrace.queue import (
    Cancel,
    Discard,
    Done,
    Enqueuer,
    Handlers,
    JobState,
    Kinds,
    KindUnknownError,
    MissedTicks,
    NewJob,
    Outcome,
    PayloadInvalidError,
    Periodic,
    Retry,
    RetryPolicy,
    RunningJob,
    Snooze,
    current_job,
)
from headrace.queue.testing import AT_ONCE, DrainUnendingError, EnqueuedJob, Kit, TransactionEndedError

Greet, Count = TestKinds.Greet, TestKinds.Count


@pytest.fixture
def connection(installation: Installation) -> Iterator[psycopg.Connection[Any]]:
    """A connection whose transaction is rolled back."""
    with psycopg.connect(installation.dsn) as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def enqueuer(installation: Installation) -> Enqueuer:
    return installation.enqueuer


def kit_of(kinds: Kinds, *, retry: RetryPolicy | None = None, periodic: Any = (), **functions: Any) -> Kit:
    handlers = Handlers(kinds)
    for name, function in functions.items():
        handlers.add(getattr(TestKinds, name), function)
    return Kit(handlers, periodic=periodic, retry=retry or AT_ONCE)


async def greet(payload: Any, job: RunningJob) -> None:
    pass


class TestRun:
    """A handler alone."""

    def test_a_plain_handler_returns_its_outcome(self, enqueuer: Enqueuer) -> None:
        kit = kit_of(enqueuer.kinds, Greet=lambda payload, job: Done(f"{payload.name} {job.attempt} {job.caller}"))
        assert kit.run(Greet(name="Ada"), attempt=2, caller="web") == Done("Ada 2 web")

    async def test_an_async_handler_sees_its_job(self, enqueuer: Enqueuer) -> None:
        async def handler(payload: Any, job: RunningJob) -> Snooze:
            assert current_job() is job
            assert 0 < job.remaining <= job.timeout
            job.report_progress(1)
            return Snooze(timedelta(seconds=(job.metadata or {})["wait"]))

        outcome = await kit_of(enqueuer.kinds, Greet=handler).run_async(Greet(name="Ada"), metadata={"wait": 5})
        assert outcome == Snooze(timedelta(seconds=5))
        assert current_job() is None

    def test_nothing_returned_means_done(self, enqueuer: Enqueuer) -> None:
        assert kit_of(enqueuer.kinds, Greet=greet).run(Greet(name="Ada")) == Done()

    def test_an_exception_passes_through(self, enqueuer: Enqueuer) -> None:
        def handler(payload: Any, job: RunningJob) -> None:
            raise LookupError(payload.name)

        with pytest.raises(LookupError, match="Ada"):
            kit_of(enqueuer.kinds, Greet=handler).run(Greet(name="Ada"))

    def test_middleware_goes_around(self, enqueuer: Enqueuer) -> None:
        async def middleware(payload: Any, job: RunningJob, call_next: Any) -> Any:
            await call_next(payload, job)
            return Cancel("seen")

        handlers = Handlers(enqueuer.kinds)
        handlers.add(Greet, greet)
        handlers.use(middleware)
        assert Kit(handlers).run(Greet(name="Ada")) == Cancel("seen")

    def test_what_enqueueing_or_a_worker_would_reject_is_rejected(self, enqueuer: Enqueuer) -> None:
        kit = kit_of(enqueuer.kinds, Greet=lambda _payload, _job: "fine")
        with pytest.raises(PayloadInvalidError):
            kit.run(Greet(name="A" * 101))
        with pytest.raises(KindUnknownError):
            kit.run(Count(name="no handler"))
        with pytest.raises(TypeError, match="return None, or one of Done"):
            kit.run(Greet(name="Ada"))

    def test_a_handler_for_a_separate_process_runs_here(self, enqueuer: Enqueuer) -> None:
        handlers = Handlers(enqueuer.kinds)
        handlers.add(Greet, handle_async, mode="process")
        assert Kit(handlers).run(Greet(name="Ada")) == Done({"pid": os.getpid()})


class TestEnqueued:
    """What this transaction has enqueued."""

    def test_payloads_are_typed_and_options_are_those_in_force(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        later = datetime.now(UTC) + timedelta(hours=1)
        jobs = [
            NewJob(
                Greet(name="Ada"), caller="web", key="k1", tags=["vip"], metadata={"a": 1}, priority=1, run_at=later
            ),
            NewJob(Count(name="c")),
        ]
        enqueuer.enqueue_many(connection, jobs)
        kit = kit_of(enqueuer.kinds, Greet=greet)
        [greeting] = kit.enqueued(connection, Greet)
        assert greeting == EnqueuedJob(
            payload=Greet(name="Ada"),
            id=greeting.id,
            state=JobState.SCHEDULED,
            queue="greetings",
            priority=1,
            max_retries=2,
            timeout=timedelta(seconds=30),
            run_at=later,
            caller="web",
            key="k1",
            tags=["vip"],
            metadata={"a": 1},
        )
        assert [each.payload.name for each in kit.enqueued(connection)] == ["Ada", "c"]

    async def test_only_this_transactions_jobs_count(
        self, connection: psycopg.Connection[Any], installation: Installation, enqueuer: Enqueuer
    ) -> None:
        await installation.enqueue(Greet(name="before"))
        connection.execute("select 1")
        await installation.enqueue(Greet(name="meanwhile"))
        enqueuer.enqueue_many(connection, [NewJob(Greet(name="mine"))])
        with connection.transaction():
            enqueuer.enqueue_many_fast(connection, [NewJob(Greet(name="copied"))])
        with connection.transaction(force_rollback=True):
            enqueuer.enqueue_many(connection, [NewJob(Greet(name="taken back"))])
        kit = kit_of(enqueuer.kinds, Greet=greet)
        assert [each.payload.name for each in kit.enqueued(connection, Greet)] == ["mine", "copied"]
        connection.rollback()
        assert kit.enqueued(connection) == []

    def test_a_connection_that_commits_each_statement_is_rejected(
        self, installation: Installation, enqueuer: Enqueuer
    ) -> None:
        kit = kit_of(enqueuer.kinds, Greet=greet)
        with psycopg.connect(installation.dsn, autocommit=True) as connection:
            with pytest.raises(ValueError, match="rolled back"):
                kit.enqueued(connection)
            with connection.transaction(force_rollback=True):
                assert kit.enqueued(connection) == []


class TestDrain:
    """Running what is available."""

    def test_every_outcome_ends_as_with_a_worker_and_leaves_nothing(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        outcomes = {
            "done": Done({"n": 1}),
            "later": Snooze(timedelta(minutes=1)),
            "off": Cancel("no"),
            "bad": Discard("never"),
            "again": Retry("not yet", after=timedelta(minutes=1)),
        }
        enqueuer.enqueue_many(connection, [NewJob(Greet(name=name)) for name in outcomes])
        kit = kit_of(enqueuer.kinds, Greet=lambda payload, _: outcomes[payload.name])
        jobs = kit.drain(connection)
        assert [job.state for job in jobs] == ["completed", "scheduled", "cancelled", "discarded", "retryable"]
        assert jobs[0].output == {"n": 1}
        assert [job.attempt for job in jobs] == [1, 0, 1, 1, 1]
        connection.rollback()
        left = "select id from headrace.jobs union all select id from headrace.workers"
        assert connection.execute(left).fetchall() == []

    def test_retries_are_made_until_they_are_spent(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        def fail(payload: Any, job: RunningJob) -> None:
            job.report_progress(job.attempt)
            raise LookupError(f"attempt {job.attempt}")

        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        [job] = kit_of(enqueuer.kinds, Greet=fail).drain(connection)
        assert job.state is JobState.DISCARDED
        assert [error.message for error in job.errors] == ["attempt 1", "attempt 2", "attempt 3"]
        assert job.progress == 3

    def test_with_the_programs_own_policy_retries_wait_for_the_clock(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        def fail_once(payload: Any, job: RunningJob) -> Outcome | None:
            return Retry("not yet") if job.attempt == 1 else None

        kit = kit_of(enqueuer.kinds, Greet=fail_once, retry=RetryPolicy(base=timedelta(hours=1)))
        kit.move_clock(connection, timedelta(days=1))
        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        assert [job.state for job in kit.drain(connection)] == ["retryable"]
        assert kit.drain(connection) == []
        kit.move_clock(connection, timedelta(hours=2))
        assert [job.state for job in kit.drain(connection)] == ["completed"]

    def test_jobs_that_handlers_enqueue_run_too(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        def count(payload: Any, job: RunningJob) -> None:
            enqueuer.enqueue(connection, NewJob(Greet(name="from count")))

        enqueuer.enqueue(connection, NewJob(Count(name="c")))
        jobs = kit_of(enqueuer.kinds, Count=count, Greet=greet).drain(connection)
        assert [(job.kind.rpartition(".")[2], job.state) for job in jobs] == [
            ("Count", "completed"),
            ("Greet", "completed"),
        ]

    def test_a_drain_that_would_never_end_raises(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        def again(payload: Any, job: RunningJob) -> None:
            enqueuer.enqueue(connection, NewJob(Greet(name="again")))

        enqueuer.enqueue(connection, NewJob(Greet(name="first")))
        with pytest.raises(DrainUnendingError, match="after 10 attempts"):
            kit_of(enqueuer.kinds, Greet=again).drain(connection, limit=10)

    def test_priorities_and_pauses_hold(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        enqueuer.enqueue_many(
            connection, [NewJob(Greet(name="low"), priority=4), NewJob(Greet(name="high"), priority=1)]
        )
        seen: list[str] = []
        kit = kit_of(enqueuer.kinds, Greet=lambda payload, _: seen.append(payload.name))
        connection.execute("insert into headrace.queues values ('greetings', now(), 'test')")
        assert kit.drain(connection) == []
        connection.execute("delete from headrace.queues")
        kit.drain(connection)
        assert seen == ["high", "low"]

    def test_a_handler_that_breaks_the_transaction_fails_and_loses_what_it_did(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        def handler(payload: Any, job: RunningJob) -> None:
            connection.execute("insert into guests values (%s)", (payload.name,))
            if job.attempt == 1:
                connection.execute("select 1/0")

        connection.execute("create table guests (name text)")
        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        [job] = kit_of(enqueuer.kinds, Greet=handler).drain(connection)
        assert (job.state, job.attempt) == (JobState.COMPLETED, 2)
        assert job.errors[0].type == "DivisionByZero"
        assert connection.execute("select name from guests").fetchall() == [("Ada",)]

    @pytest.mark.parametrize("end", ["commit", "rollback"])
    def test_a_handler_that_ends_the_tests_own_transaction_is_named(
        self, end: str, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        def handler(payload: Any, job: RunningJob) -> None:
            getattr(connection, end)()

        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        with pytest.raises(TransactionEndedError, match=r"the handler of job \d+ \(headrace.test.v1.Greet\)"):
            kit_of(enqueuer.kinds, Greet=handler).drain(connection)

    async def test_within_an_event_loop_the_asynchronous_form_is_named(self, installation: Installation) -> None:
        kit = kit_of(installation.kinds, Greet=greet)
        with psycopg.connect(installation.dsn) as connection, pytest.raises(RuntimeError, match="await drain_async"):
            kit.drain(connection)
        with pytest.raises(RuntimeError, match="await run_async"):
            kit.run(Greet())

    def test_a_handler_may_complete_its_job_in_the_tests_transaction(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        def handler(payload: Any, job: RunningJob) -> None:
            with connection.transaction(force_rollback=job.attempt == 1):
                job.complete_in(connection, output=job.attempt)

        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        [job] = kit_of(enqueuer.kinds, Greet=handler).drain(connection)
        assert (job.state, job.output) == (JobState.COMPLETED, 2)
        assert job.errors[0].type == "rolled_back"

    def test_a_handler_for_a_separate_process_gets_one(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        handlers = Handlers(enqueuer.kinds)
        handlers.add(Greet, handle_async, mode="process")
        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        [job] = Kit(handlers).drain(connection)
        assert job.state is JobState.COMPLETED
        assert job.output["pid"] != os.getpid()

    async def test_only_jobs_with_a_handler_run(
        self, connection: psycopg.Connection[Any], installation: Installation, enqueuer: Enqueuer
    ) -> None:
        await installation.enqueue(Greet(name="committed"))
        enqueuer.enqueue(connection, NewJob(Count(name="no handler")))
        seen: list[str] = []
        kit = kit_of(enqueuer.kinds, Greet=lambda payload, _: seen.append(payload.name))
        with connection.transaction():  # in a thread, since a loop runs here
            await asyncio.to_thread(kit.drain, connection)
        assert seen == ["committed"]
        connection.rollback()
        assert [job.state for job in await asyncio.to_thread(kit.drain, connection)] == ["completed"]

    def test_a_drain_of_one_kind_leaves_the_others(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        enqueuer.enqueue_many(connection, [NewJob(Greet(name="Ada")), NewJob(Count(name="c"))])
        kit = kit_of(enqueuer.kinds, Greet=greet, Count=greet)
        assert [job.kind for job in kit.drain(connection, Count)] == ["headrace.test.v1.Count"]
        assert [job.kind for job in kit.drain(connection)] == ["headrace.test.v1.Greet"]
        with pytest.raises(KindUnknownError):
            kit_of(enqueuer.kinds, Greet=greet).drain(connection, Count)

    def test_a_timeout_strikes(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        async def forever(payload: Any, job: RunningJob) -> None:
            await asyncio.Event().wait()

        enqueuer.enqueue(connection, NewJob(Greet(name="Ada"), timeout=timedelta(milliseconds=1), max_retries=0))
        [job] = kit_of(enqueuer.kinds, Greet=forever).drain(connection)
        assert (job.state, job.errors[0].type) == (JobState.DISCARDED, "timeout")


class TestThreads:
    """Where plain handlers run."""

    def test_they_run_in_the_tests_thread_which_has_no_running_loop_meanwhile(
        self, connection: psycopg.Connection[Any], enqueuer: Enqueuer
    ) -> None:
        async def two() -> int:
            return 2

        def handler(payload: Any, job: RunningJob) -> Done:
            assert threading.current_thread() is threading.main_thread()
            with pytest.raises(RuntimeError, match="no running event loop"):
                asyncio.get_running_loop()
            assert current_job() is job
            return Done(asyncio.run(two()))

        kit = kit_of(enqueuer.kinds, Greet=handler)
        assert kit.run(Greet(name="Ada")) == Done(2)
        enqueuer.enqueue(connection, NewJob(Greet(name="Ada")))
        [job] = kit.drain(connection)
        assert (job.state, job.output) == (JobState.COMPLETED, 2)

    async def test_they_do_so_in_an_asynchronous_test(self, enqueuer: Enqueuer) -> None:
        def handler(payload: Any, job: RunningJob) -> Done:
            return Done(threading.current_thread() is threading.main_thread())

        assert await kit_of(enqueuer.kinds, Greet=handler).run_async(Greet(name="Ada")) == Done(True)
        assert await asyncio.sleep(0, "the loop goes on") == "the loop goes on"

    def test_in_threads_on_request(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        def handler(payload: Any, job: RunningJob) -> None:
            assert threading.current_thread() is not threading.main_thread()
            assert job.stopping.wait(timeout=60), "the timeout strikes"

        handlers = Handlers(enqueuer.kinds)
        handlers.add(Greet, handler)
        enqueuer.enqueue(connection, NewJob(Greet(name="Ada"), timeout=timedelta(milliseconds=1), max_retries=0))
        [job] = Kit(handlers, threads=True).drain(connection)
        assert (job.state, job.errors[0].type) == (JobState.DISCARDED, "timeout")


class TestClock:
    """Time passes when the test says so."""

    def test_scheduled_jobs_come_due(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        kit = kit_of(enqueuer.kinds, Greet=greet)
        enqueuer.enqueue(connection, NewJob(Greet(name="Ada"), run_at=datetime.now(UTC) + timedelta(days=2)))
        before = kit.move_clock(connection, timedelta(days=1))
        assert kit.drain(connection) == []
        after = kit.move_clock(connection, timedelta(days=1, minutes=1))
        assert timedelta(days=1) < after - before < timedelta(days=1, minutes=2)
        assert [job.state for job in kit.drain(connection)] == ["completed"]

    def test_periodic_ticks_come_due(self, connection: psycopg.Connection[Any], enqueuer: Enqueuer) -> None:
        periodic = [
            Periodic(
                "hourly",
                payload=Greet(name="h"),
                every=timedelta(hours=1),
                missed=MissedTicks.ALL,
                window=timedelta(days=9),
            ),
            Periodic("nightly", payload=Count(name="n"), cron="30 3 * * *", time_zone="Europe/Berlin"),
        ]
        seen: list[tuple[str, datetime | None]] = []
        note = lambda payload, job: seen.append((payload.name, job.scheduled_at))  # noqa: E731
        kit = kit_of(enqueuer.kinds, periodic=periodic, Greet=note, Count=note)
        kit.drain(connection)
        assert [name for name, _ in seen] == ["h"]
        kit.move_clock(connection, timedelta(days=1))
        kit.drain(connection)
        assert sorted(name for name, _ in seen) == ["h"] * 25 + ["n"]
        [nightly] = [tick for name, tick in seen if name == "n"]
        assert nightly is not None
        assert (nightly.astimezone(ZoneInfo("Europe/Berlin")).hour, nightly.minute) == (3, 30)

    async def test_only_this_transaction_sees_it(
        self, connection: psycopg.Connection[Any], installation: Installation, enqueuer: Enqueuer
    ) -> None:
        kit = kit_of(enqueuer.kinds, Greet=greet)
        kit.move_clock(connection, timedelta(days=1))
        [(difference,)] = await installation.execute("select headrace.clock() - clock_timestamp()")
        assert abs(difference) < timedelta(seconds=1)
        connection.rollback()
        assert kit.move_clock(connection, timedelta(0)) < datetime.now(UTC) + timedelta(hours=1)
        with pytest.raises(ValueError, match="moves ahead"):
            kit.move_clock(connection, timedelta(seconds=-1))


class TestConnections:
    """The same on every kind of connection."""

    async def test_psycopg_async(self, installation: Installation, enqueuer: Enqueuer) -> None:
        own: psycopg.AsyncConnection[Any] = await installation.connect(autocommit=False)

        async def count(payload: Any, job: RunningJob) -> None:
            await enqueuer.enqueue_async(own, NewJob(Greet(name="from count")))

        kit = kit_of(enqueuer.kinds, Count=count, Greet=greet)
        async with own:
            later = datetime.now(UTC) + timedelta(days=1)
            await enqueuer.enqueue_async(own, NewJob(Count(name="c"), run_at=later))
            assert [each.run_at for each in await kit.enqueued_async(own, Count)] == [later]
            assert await kit.drain_async(own) == []
            await kit.move_clock_async(own, timedelta(days=1, minutes=1))
            assert [job.state for job in await kit.drain_async(own)] == ["completed", "completed"]
            await own.rollback()

    def test_a_session_of_sqlalchemy(self, installation: Installation, enqueuer: Enqueuer) -> None:
        def handler(payload: Any, job: RunningJob) -> None:
            session.execute(text("insert into guests values (:name)"), {"name": payload.name})
            job.complete_in(session)

        kit = kit_of(enqueuer.kinds, Greet=handler)
        engine = create_engine(installation.dsn.replace("postgresql:", "postgresql+psycopg:"))
        with Session(engine) as session:
            session.execute(text("create table guests (name text)"))
            enqueuer.enqueue(session, NewJob(Greet(name="Ada")))
            [greeting] = kit.enqueued(session, Greet)
            assert greeting.payload.name == "Ada"
            [job] = kit.drain(session)
            assert (job.id, job.state) == (greeting.id, JobState.COMPLETED)
            assert session.execute(text("select name from guests")).all() == [("Ada",)]
            session.rollback()
        engine.dispose()

    async def test_an_async_session_of_sqlalchemy(self, installation: Installation, enqueuer: Enqueuer) -> None:
        async def handler(payload: Any, job: RunningJob) -> None:
            await session.execute(text("insert into guests values (:name)"), {"name": payload.name})

        kit = kit_of(enqueuer.kinds, Greet=handler)
        engine = create_async_engine(installation.dsn.replace("postgresql:", "postgresql+psycopg:"))
        async with AsyncSession(engine) as session:
            await session.execute(text("create table guests (name text)"))
            await enqueuer.enqueue_async(session, NewJob(Greet(name="Ada")))
            assert len(await kit.enqueued_async(session, Greet)) == 1
            assert [job.state for job in await kit.drain_async(session)] == ["completed"]
            assert (await session.execute(text("select name from guests"))).all() == [("Ada",)]
            await session.rollback()
        await engine.dispose()
