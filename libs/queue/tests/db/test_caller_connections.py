"""Every function of the engine takes every kind of connection, and works in the caller's transaction."""

from __future__ import annotations

import asyncio
import inspect
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy
from callers import CALLERS, OpenCaller, psycopg_connection, sqlalchemy_session, url
from engine_kinds import TestKinds
from installation import Installation
from psycopg.types.string import TextLoader
from sqlalchemy.ext.asyncio import create_async_engine

from headrace import queue
from headrace.queue import (
    Enqueuer,
    JobFilter,
    JobState,
    NewJob,
    Periodic,
    RunningJob,
    get_job,
    reasons,
)
from headrace.queue.control import bulk
from headrace.queue.db.caller_connection import psycopg_connection as below
from headrace.queue.testing import Kit

ASYNC_FORMS = sorted(name for name in queue.__all__ if name.endswith("_async"))
TIDY = Periodic("tidy", payload=TestKinds.Greet(name="Ada"), every=timedelta(hours=1))


@pytest.mark.parametrize("open_caller", CALLERS)
async def test_look_ups_and_control_belong_to_the_callers_transaction(
    open_caller: OpenCaller, installation: Installation
) -> None:
    async with open_caller(installation.dsn) as caller:
        enqueuer, kinds = installation.enqueuer, installation.kinds
        job = NewJob(TestKinds.Greet(name="Ada"), key="k", metadata={"tenant": 7})
        job_id = (await caller.call("enqueue", job, on=enqueuer)).job_id
        assert (await caller.call("find_existing", job, on=enqueuer)).job_id == job_id
        found = await caller.call("get_job", job_id)
        assert (found.id, found.metadata, found.state) == (job_id, {"tenant": 7}, JobState.AVAILABLE)
        assert found.created_at.tzinfo is not None
        assert [each.id for each in await caller.call("list_jobs", JobFilter(queues=("greetings",)))] == [job_id]
        assert await caller.call("count_jobs") == {"greetings": {JobState.AVAILABLE: 1}}
        assert await caller.call("count_available", "greetings", limit=10) == 1
        assert isinstance((await caller.call("explain_job", job_id)).reason, reasons.KindNotKnown)
        assert isinstance((await caller.call("explain_enqueue", enqueuer, job)).reason, reasons.Duplicate)
        assert (await caller.call("pause_queue", "greetings", by="ann")).paused_by == "ann"
        assert [each.name for each in await caller.call("list_queues")] == ["greetings"]
        assert [each.what for each in await caller.call("list_pauses")] == ["queue"]
        assert (await caller.call("cancel_job", job_id)).state == JobState.CANCELLED
        assert (await caller.call("retry_jobs", JobFilter(states=(JobState.CANCELLED,)))).changed == 1
        assert await caller.call("list_workers") == []
        assert (await caller.call("queue_stats"))["greetings"].workers == 0
        assert (await caller.call("create_periodic", TIDY, kinds=kinds)).name == "tidy"
        assert [each.name for each in await caller.call("list_periodic")] == ["tidy"]
        await caller.call("record_audit_entry", actor="ann", action="PauseQueue", subject="queue:greetings")
        [entry] = await caller.call("list_audit_entries")
        assert (entry.actor, entry.details) == ("ann", {})
        await caller.call("register_kinds", kinds)
        await caller.rollback()
        for table in ("jobs", "queues", "periodic_jobs", "audit_log", "kind_descriptors"):
            assert await installation.execute(f"select count(*) from headrace.{table}") == [(0,)], table
        await caller.call("pause_queue", "greetings", by="bob")
        await caller.commit()
        assert await installation.execute("select paused_by from headrace.queues") == [("bob",)]


@pytest.mark.parametrize("name", ASYNC_FORMS)
def test_every_asynchronous_function_has_a_blocking_form_with_the_same_arguments(name: str) -> None:
    asynchronous, blocking = getattr(queue, name), getattr(queue, name.removesuffix("_async"))
    assert name.removesuffix("_async") in queue.__all__
    assert inspect.iscoroutinefunction(asynchronous)
    assert not inspect.iscoroutinefunction(blocking)
    assert (asynchronous.__name__, blocking.__name__) == (name, name.removesuffix("_async"))
    assert asynchronous.__doc__ == blocking.__doc__
    first, *others = inspect.signature(blocking).parameters.values()
    assert (first.name, str(first.annotation)) == ("connection", "AnyConnection")
    assert others == [*inspect.signature(asynchronous).parameters.values()][1:]
    assert inspect.signature(asynchronous).return_annotation == inspect.signature(blocking).return_annotation


def test_a_missing_argument_is_reported_for_the_function_that_was_called(installation: Installation) -> None:
    missing = r"^get_job\(\) missing 1 required positional argument: 'job_id'"
    with psycopg.connect(installation.dsn) as connection, pytest.raises(TypeError, match=missing):
        get_job(connection)  # type: ignore[call-arg]


async def test_a_connection_of_the_other_form_is_rejected_with_the_function_to_use(
    installation: Installation,
) -> None:
    enqueuer: Enqueuer = installation.enqueuer
    job = NewJob(TestKinds.Greet())
    engine, async_engine = sqlalchemy.create_engine(url(installation.dsn)), create_async_engine(url(installation.dsn))
    with psycopg.connect(installation.dsn) as connection, engine.connect() as own:
        for blocking in (connection, own):
            with pytest.raises(TypeError, match=r"^get_job_async takes an asynchronous .* is blocking: use get_job i"):
                await queue.get_job_async(blocking, 1)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"^enqueue_async takes an asynchronous .*: use enqueue instead"):
                await enqueuer.enqueue_async(blocking, job)  # type: ignore[arg-type]
    async with await psycopg.AsyncConnection.connect(installation.dsn) as connection_, async_engine.connect() as own_:
        for asynchronous in (connection_, own_):
            with pytest.raises(TypeError, match=r"^get_job takes a blocking .* is asynchronous: use get_job_async i"):
                get_job(asynchronous, 1)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"^enqueue takes a blocking .*: use enqueue_async instead"):
                enqueuer.enqueue(asynchronous, job)  # type: ignore[arg-type]
            with pytest.raises(TypeError, match=r"^enqueue_many_fast takes .*: use enqueue_many_fast_async instead"):
                enqueuer.enqueue_many_fast(asynchronous, [job])  # type: ignore[arg-type]
    engine.dispose()
    await async_engine.dispose()


def test_what_is_not_a_connection_over_psycopg_is_rejected() -> None:
    text = r"get_job takes a psycopg Connection, a SQLAlchemy .* or Django's connection, not a "
    with pytest.raises(TypeError, match=text + r"builtins\.int$"):
        get_job(42, 1)  # type: ignore[arg-type]
    engine = sqlalchemy.create_engine("sqlite://")
    with engine.connect() as connection, pytest.raises(TypeError, match=text + r".*Connection over sqlite3\.Conn"):
        get_job(connection, 1)
    engine.dispose()


@pytest.mark.parametrize("open_caller", CALLERS)
async def test_json_is_loaded_whatever_loader_the_callers_connection_has(
    open_caller: OpenCaller, installation: Installation
) -> None:
    seen = []

    async def greet(message: Any, job: RunningJob) -> Any:
        seen.append(job.metadata)
        if job.attempt == 1:
            raise ValueError("not today")
        return queue.Done({"greeted": message.name})

    kit = Kit(installation.handlers(Greet=greet))
    async with open_caller(installation.dsn) as caller:
        if isinstance(caller.connection, psycopg.Connection | psycopg.AsyncConnection):
            caller.connection.adapters.register_loader("jsonb", TextLoader)
        job = NewJob(TestKinds.Greet(name="Ada"), metadata={"tenant": 7})
        await caller.call("enqueue", job, on=installation.enqueuer)
        if caller.is_async:
            [done] = await kit.drain_async(caller.connection)
        else:  # it brings its own event loop
            [done] = await asyncio.to_thread(kit.drain, below(caller.connection))
    assert seen == [{"tenant": 7}, {"tenant": 7}]
    assert (done.output, done.metadata) == ({"greeted": "Ada"}, {"tenant": 7})
    assert [error.message for error in done.errors] == ["not today"]


async def test_in_autocommit_mode_a_bulk_action_commits_batch_by_batch(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 2)
    for _ in range(5):
        await installation.enqueue(TestKinds.Greet())
    transactions = "select count(distinct xmin::text) from headrace.jobs where state = 'cancelled'"
    with psycopg.connect(installation.dsn, autocommit=True) as connection:
        done = queue.cancel_jobs(connection, JobFilter(queues=("greetings",)))
    assert (done.matched, done.changed) == (5, 5)
    assert await installation.execute(transactions) == [(3,)]


async def test_in_autocommit_mode_an_action_of_several_statements_is_atomic(
    installation: Installation,
) -> None:
    job_id = await installation.enqueue(TestKinds.Greet(), run_after=timedelta(hours=1))
    async with await installation.connect() as connection:
        await connection.execute("alter table headrace.jobs rename column progress to elsewhere")
        with pytest.raises(psycopg.errors.UndefinedColumn):  # from its second statement, which reads the job
            await queue.retry_job_async(connection, job_id)
        await connection.execute("alter table headrace.jobs rename column elsewhere to progress")
    assert (await installation.job(job_id)).state == "scheduled"


@pytest.mark.parametrize("open_caller", [psycopg_connection, sqlalchemy_session])
async def test_an_explanation_restores_the_callers_time_limit(
    open_caller: OpenCaller, installation: Installation
) -> None:
    job_id = await installation.enqueue(TestKinds.Greet())
    async with open_caller(installation.dsn) as caller:
        driver = below(caller.connection)
        driver.execute("set local statement_timeout = '7s'")
        await caller.call("explain_job", job_id)
        assert driver.execute("show statement_timeout").fetchone() == ("7s",)
