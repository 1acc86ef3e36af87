"""The app object: kinds, handlers, enqueueing and workers by one object."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from headrace.queue import (
    BatchRejectedError,
    BatchTooLargeError,
    Defaults,
    EnqueueError,
    Headrace,
    KeyReusedError,
    Kinds,
    KindUnknownError,
    Limits,
    NewJob,
    OptionInvalidError,
    Periodic,
    RetryPolicy,
    RunningJob,
    WorkerSettings,
    job_kind,
)
from headrace.queue.testing import Kit

COUNT = "select count(*) from headrace.jobs"


@job_kind("shop.Greet", queue="greetings")
@dataclass
class Greet:
    name: str


@job_kind("shop.Count")
@dataclass
class Count:
    number: int


@pytest.fixture
def app(database: str) -> Headrace:
    """An app that knows two kinds, in a database with its tables."""
    app = Headrace()
    app.kinds(Greet, Count)
    app.migrate(database)
    return app


@pytest.fixture
def connection(database: str, app: Headrace) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database) as connection:
        yield connection


def names(connection: psycopg.Connection[Any]) -> list[str]:
    """The names in all jobs, in the order of their ids."""
    rows = connection.execute("select convert_from(payload, 'UTF8')::json ->> 'name' from headrace.jobs order by id")
    return [name for (name,) in rows]


class TestEnqueue:
    """One job."""

    def test_a_payload_is_enqueued_in_the_callers_transaction_with_its_options(
        self, app: Headrace, connection: psycopg.Connection[Any]
    ) -> None:
        enqueued = app.enqueue(connection, Greet("Ada"), priority=1, tags=["vip"])
        query = "select id, kind, queue, priority, tags from headrace.jobs"
        assert connection.execute(query).fetchone() == (enqueued.job_id, "shop.Greet", "greetings", 1, ["vip"])
        connection.rollback()
        assert names(connection) == []

    def test_a_rejection_is_raised_and_the_transaction_goes_on(
        self, app: Headrace, connection: psycopg.Connection[Any]
    ) -> None:
        with pytest.raises(OptionInvalidError, match="priority must be 1"):
            app.enqueue(connection, Greet("Ada"), priority=9)
        with pytest.raises(KindUnknownError):
            app.enqueue(connection, {"name": "Ada"})
        app.enqueue(connection, Greet("Bob"))
        assert names(connection) == ["Bob"]

    def test_a_new_job_is_taken_as_it_is(self, app: Headrace, connection: psycopg.Connection[Any]) -> None:
        app.enqueue(connection, NewJob(Greet("Ada"), queue="other", priority=3), priority=4)
        assert connection.execute("select queue, priority from headrace.jobs").fetchall() == [("other", 4)]

    async def test_on_an_asynchronous_connection(self, app: Headrace, database: str) -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            enqueued = await app.enqueue_async(connection, Greet("Ada"), key="a")
            again = await app.enqueue_async(connection, Greet("Ada"), key="a")
        assert (again.job_id, again.duplicate) == (enqueued.job_id, True)


class TestEnqueueMany:
    """All of them, or none."""

    def test_payloads_and_new_jobs_are_enqueued_in_order(
        self, app: Headrace, connection: psycopg.Connection[Any]
    ) -> None:
        enqueued = app.enqueue_many(connection, (job for job in [Greet("Ada"), NewJob(Greet("Bob"), priority=4)]))
        rows = connection.execute("select id, priority from headrace.jobs order by id").fetchall()
        assert rows == [(enqueued[0].job_id, 2), (enqueued[1].job_id, 4)]
        assert app.enqueue_many(connection, []) == []

    def test_one_rejection_leaves_none_and_names_each_by_its_index(
        self, app: Headrace, connection: psycopg.Connection[Any]
    ) -> None:
        app.enqueue(connection, Greet("before"), key="a")
        jobs = [Greet("Ada"), NewJob(Greet("Bob"), priority=9), Greet("Eve"), NewJob(Greet("Mel"), key="a")]
        with pytest.raises(BatchRejectedError) as caught:
            app.enqueue_many(connection, jobs)
        assert {index: type(error) for index, error in caught.value.errors.items()} == {
            1: OptionInvalidError,
            3: KeyReusedError,
        }
        first, *lines = str(caught.value).splitlines()
        assert first == "2 of 4 jobs are rejected, so none is enqueued:"
        assert [line.partition(":")[0] for line in lines] == ["  jobs[1]", "  jobs[3]"]
        app.enqueue(connection, Greet("after"))
        assert names(connection) == ["before", "after"], "the transaction goes on"

    @pytest.mark.parametrize("autocommit", [False, True])
    def test_a_batch_that_begins_its_transaction_leaves_none(
        self, app: Headrace, database: str, autocommit: bool
    ) -> None:
        jobs = [Greet("Ada"), NewJob(Greet("Bob"), key="a"), NewJob(Greet("Eve"), key="a")]
        with psycopg.connect(database, autocommit=autocommit) as connection:
            with pytest.raises(BatchRejectedError):
                app.enqueue_many(connection, jobs)
            assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
            assert names(connection) == []
            app.enqueue_many(connection, jobs[:2])
        with psycopg.connect(database) as other:
            assert names(other) == ["Ada", "Bob"]

    def test_what_a_middleware_rejects_counts(self, app: Headrace, connection: psycopg.Connection[Any]) -> None:
        def reject_bob(jobs: Any) -> Any:
            yield [EnqueueError("not Bob") if job.payload.name == "Bob" else job for job in jobs]

        app.enqueuer.use(reject_bob)
        with pytest.raises(BatchRejectedError, match=r"jobs\[1\]: not Bob"):
            app.enqueue_many(connection, [Greet("Ada"), Greet("Bob")])
        assert names(connection) == []

    @pytest.mark.parametrize("jobs_before", [0, 1])
    async def test_on_an_asynchronous_connection(self, app: Headrace, database: str, jobs_before: int) -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await app.enqueue_many_async(connection, [Greet("before")] * jobs_before)
            with pytest.raises(BatchRejectedError):
                await app.enqueue_many_async(connection, [Greet("Ada"), NewJob(Greet("Bob"), priority=9)])
            assert len(await app.enqueue_many_async(connection, [Greet("Eve")])) == 1
            assert await (await connection.execute(COUNT)).fetchone() == (jobs_before + 1,)

    async def test_with_sessions_of_sqlalchemy(self, app: Headrace, database: str) -> None:
        url = database.replace("postgresql:", "postgresql+psycopg:")
        bad = [Greet("Ada"), NewJob(Greet("Bob"), priority=9)]
        engine = create_engine(url)
        with Session(engine) as session, session.begin():
            for _ in range(2):  # as the first statement of the transaction, and within it
                with pytest.raises(BatchRejectedError):
                    app.enqueue_many(session, bad)
                app.enqueue_many(session, [Greet("Eve")])
        with engine.connect() as plain:
            assert plain.execute(text(COUNT)).scalar() == 2
        engine.dispose()
        async_engine = create_async_engine(url)
        async with AsyncSession(async_engine) as async_session, async_session.begin():
            with pytest.raises(BatchRejectedError):
                await app.enqueue_many_async(async_session, bad)
            await app.enqueue_many_async(async_session, [Greet("Eve")])
        await async_engine.dispose()
        with psycopg.connect(database) as connection:
            assert names(connection) == ["Eve"] * 3

    def test_a_batch_over_the_limit_is_rejected(self, database: str) -> None:
        app = Headrace(limits=Limits(batch=1))
        app.kinds(Greet)
        app.migrate(database)
        with psycopg.connect(database) as connection, pytest.raises(BatchTooLargeError):
            app.enqueue_many(connection, [Greet("Ada"), Greet("Bob")])


class TestEnqueueManyFast:
    """By COPY."""

    def test_payloads_are_streamed(self, app: Headrace, connection: psycopg.Connection[Any]) -> None:
        assert app.enqueue_many_fast(connection, (Greet(f"{n}") for n in range(3))) == 3
        assert names(connection) == ["0", "1", "2"]

    async def test_on_an_asynchronous_connection(self, app: Headrace, database: str) -> None:
        async with await psycopg.AsyncConnection.connect(database) as connection:
            jobs = [Greet("Ada"), NewJob(Greet("Bob"), priority=9)]
            with pytest.raises(EnqueueError):
                await app.enqueue_many_fast_async(connection, jobs)
            await connection.rollback()
            assert await app.enqueue_many_fast_async(connection, jobs[:1]) == 1


class TestKnownKinds:
    """What an app knows."""

    def test_an_app_begins_with_given_kinds_and_their_defaults(self) -> None:
        app = Headrace(Kinds([TestKinds.Greet], defaults=Defaults(max_retries=7)))

        @app.handler
        def greet(payload: Greet, job: RunningJob) -> None: ...

        assert [kind.name for kind in app.handlers.kinds] == ["headrace.test.v1.Greet", "shop.Greet"]
        assert app.handlers.kinds["shop.Greet"].max_retries == 7
        assert [kind.name for kind in app.handlers.handled] == ["shop.Greet"]

    def test_a_kind_may_be_registered_again_and_a_handler_may_not(self) -> None:
        app = Headrace()
        app.kinds(Greet)
        app.kinds(Greet)

        @app.handler
        def greet(payload: Greet, job: RunningJob) -> None: ...

        with pytest.raises(ValueError, match=r"shop\.Greet has a handler already"):
            app.handler(greet)

    def test_a_handler_has_the_options_of_handlers_add(self) -> None:
        app = Headrace()

        @app.handler(mode="thread")
        def greet(payload: Greet, job: RunningJob) -> None: ...

        with pytest.raises(ValueError, match="only handlers of mode 'process'"):

            @app.handler(memory_limit=2**30)
            def count(payload: Count, job: RunningJob) -> None: ...


class TestWorkers:
    """Running."""

    async def test_a_worker_runs_handlers_and_periodic_jobs_with_the_apps_settings(self, database: str) -> None:
        app = Headrace(settings=WorkerSettings(slots=1), retry=RetryPolicy(base=timedelta(milliseconds=1)))
        seen: list[str] = []
        done = asyncio.Event()

        @app.handler
        async def greet(payload: Greet, job: RunningJob) -> None:
            if job.attempt == 1:
                raise TimeoutError
            seen.append(payload.name)
            if len(seen) == 2:
                done.set()

        app.periodic(Periodic("hello", payload=Greet("periodic"), every=timedelta(days=1)))
        app.migrate(database)
        async with await psycopg.AsyncConnection.connect(database) as connection:
            await app.enqueue_async(connection, Greet("enqueued"))
        worker = app.worker(database)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await done.wait()
            worker.stop()
        assert sorted(seen) == ["enqueued", "periodic"]

    def test_run_works_until_it_is_told_to_stop(self, app: Headrace, database: str) -> None:
        @app.handler
        def greet(payload: Greet, job: RunningJob) -> None:
            os.kill(os.getpid(), signal.SIGTERM)

        with psycopg.connect(database) as connection:
            app.enqueue(connection, Greet("Ada"))
        app.run(database)
        with psycopg.connect(database) as connection:
            assert connection.execute("select state::text from headrace.jobs").fetchall() == [("completed",)]

    def test_a_schema_holds_for_everything(self, database: str) -> None:
        app = Headrace(schema="shop")
        seen: list[str] = []

        @app.handler
        def greet(payload: Greet, job: RunningJob) -> None:
            seen.append(payload.name)

        app.migrate(database)
        with psycopg.connect(database) as connection:
            app.enqueue(connection, Greet("Ada"))
            assert [job.payload for job in Kit(app).enqueued(connection, Greet)] == [Greet("Ada")]
            [job] = Kit(app).drain(connection)
        assert (job.state, seen) == ("completed", ["Ada"])

    def test_an_embedded_postgres_has_the_tables(self) -> None:
        app = Headrace()
        app.kinds(Greet)
        with app.embedded_postgres() as dsn, psycopg.connect(dsn) as connection:
            assert app.enqueue(connection, Greet("Ada")).job_id == 1
