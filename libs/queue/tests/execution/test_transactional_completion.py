"""A handler completes its job in the transaction that has its effects: both are committed, or neither."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from headrace.queue import Event, EventType, Job, LeaseLostError, RunningJob
from headrace.queue.claiming import reconciler
from headrace.queue.maintenance import scheduler

EFFECT = "insert into effects values (%s)"
NAMED_EFFECT = text("insert into effects values (:id)")


@pytest.fixture(autouse=True)
async def effects(installation: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table for the handlers' effects; due retries are found soon."""
    monkeypatch.setattr(scheduler, "INTERVAL", timedelta(milliseconds=20))
    await installation.execute("create table effects (job_id bigint)")


async def run(
    installation: Installation, eventually: Eventually, handler: Any, state: str = "completed", **options: Any
) -> Job:
    """Runs one job until it is in that state, and drains the worker."""
    job_id = await installation.enqueue(TestKinds.Greet(), **options)
    async with installation.working(installation.worker(installation.handlers(Greet=handler))):
        await eventually(lambda: installation.is_in(job_id, state))
    job: Job = await installation.job(job_id)
    assert job.state == state
    return job


async def count(installation: Installation) -> int:
    return int((await installation.execute("select count(*) from effects"))[0][0])


async def with_psycopg(dsn: str, message: Any, job: RunningJob) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute(EFFECT, (job.id,))
        await job.complete_in_async(connection, output={"by": "handler"})


async def with_session(dsn: str, message: Any, job: RunningJob) -> None:
    engine = create_async_engine(dsn)
    async with AsyncSession(engine) as session, session.begin():
        await session.execute(NAMED_EFFECT, {"id": job.id})
        await job.complete_in_async(session, output={"by": "handler"})
    await engine.dispose()


async def with_connection(dsn: str, message: Any, job: RunningJob) -> None:
    engine = create_async_engine(dsn)
    async with engine.begin() as connection:
        await connection.execute(NAMED_EFFECT, {"id": job.id})
        await job.complete_in_async(connection, output={"by": "handler"})
    await engine.dispose()


def with_psycopg_in_a_thread(dsn: str, message: Any, job: RunningJob) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute(EFFECT, (job.id,))
        job.complete_in(connection, output={"by": "handler"})


def with_session_in_a_thread(dsn: str, message: Any, job: RunningJob) -> None:
    engine = create_engine(dsn)
    with Session(engine) as session, session.begin():
        session.execute(NAMED_EFFECT, {"id": job.id})
        job.complete_in(session, output={"by": "handler"})
    engine.dispose()


def with_connection_in_a_thread(dsn: str, message: Any, job: RunningJob) -> None:
    engine = create_engine(dsn)
    with engine.begin() as connection:
        connection.execute(NAMED_EFFECT, {"id": job.id})
        job.complete_in(connection, output={"by": "handler"})
    engine.dispose()


def bound(handler: Any, dsn: str) -> Any:
    """The handler with its database."""
    if "psycopg" not in handler.__name__:
        dsn = dsn.replace("postgresql://", "postgresql+psycopg://")
    if asyncio.iscoroutinefunction(handler):

        async def run(message: Any, job: RunningJob) -> None:
            await handler(dsn, message, job)

        return run
    return lambda message, job: handler(dsn, message, job)


WAYS = [with_psycopg, with_session, with_connection]
WAYS_IN_A_THREAD = [with_psycopg_in_a_thread, with_session_in_a_thread, with_connection_in_a_thread]


@pytest.mark.parametrize("way", [*WAYS, *WAYS_IN_A_THREAD])
async def test_the_effect_and_the_completion_are_committed_together(
    way: Any, installation: Installation, eventually: Eventually
) -> None:
    job = await run(installation, eventually, bound(way, installation.dsn))
    assert (job.lease, job.attempt, job.errors, job.output) == (1, 1, [], {"by": "handler"})
    assert job.finished_at is not None
    assert await count(installation) == 1


async def test_a_handler_that_rolls_back_and_raises_fails_without_its_effect(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        async with await psycopg.AsyncConnection.connect(installation.dsn) as connection:
            await connection.execute(EFFECT, (job.id,))
            await job.complete_in_async(connection)
            if job.attempt == 1:
                raise ConnectionError("after the effect")

    job = await run(installation, eventually, greet)
    assert (job.attempt, [error.type for error in job.errors]) == (2, ["ConnectionError"])
    assert await count(installation) == 1


async def test_a_handler_that_returns_after_a_rollback_has_failed(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        async with await psycopg.AsyncConnection.connect(installation.dsn) as connection:
            await connection.execute(EFFECT, (job.id,))
            await job.complete_in_async(connection)
            await connection.rollback()

    job = await run(installation, eventually, greet, "discarded", max_retries=1)
    assert [(error.attempt, error.type) for error in job.errors] == [(1, "rolled_back"), (2, "rolled_back")]
    assert "the transaction in which it completed the job was rolled back" in job.errors[0].message
    assert await count(installation) == 0


async def test_what_is_committed_stands_though_the_handler_fails_afterwards(
    installation: Installation, eventually: Eventually, caplog: pytest.LogCaptureFixture
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        async with await psycopg.AsyncConnection.connect(installation.dsn) as connection:
            await job.complete_in_async(connection)
        raise ValueError("too late")

    job = await run(installation, eventually, greet)
    assert (job.attempt, job.errors) == (1, [])
    assert "is ignored" not in caplog.text


@pytest.mark.parametrize("swallowed", [False, True])
async def test_a_lost_lease_makes_the_commit_fail(
    swallowed: bool, installation: Installation, eventually: Eventually
) -> None:
    """Another worker has the job: this one's effect must not be there, even if it swallows the error and commits."""
    raised: list[LeaseLostError] = []

    async def greet(message: Any, job: RunningJob) -> None:
        if job.lease > 1:
            return
        await installation.take_away()
        async with await psycopg.AsyncConnection.connect(installation.dsn) as connection:
            await connection.execute(EFFECT, (job.id,))
            try:
                await job.complete_in_async(connection)
            except LeaseLostError as lost:
                raised.append(lost)
                if not swallowed:
                    raise
            await connection.commit()

    job = await run(installation, eventually, greet)
    assert [(lost.job_id, lost.lease) for lost in raised] == [(job.id, 1)]
    assert (job.lease, job.errors) == (3, [])
    assert await count(installation) == 0


async def test_a_completion_under_a_lost_lease_emits_no_event(
    installation: Installation, eventually: Eventually
) -> None:
    """Nothing of it is committed, so there is no event of it: only of the attempt that counts."""

    async def greet(message: Any, job: RunningJob) -> None:
        if job.lease > 1:
            return
        await installation.take_away()
        async with await psycopg.AsyncConnection.connect(installation.dsn) as connection:
            await job.complete_in_async(connection)

    told: list[Event] = []
    worker = installation.worker(installation.handlers(Greet=greet))
    worker.subscribe(told.append)
    job_id = await installation.enqueue(TestKinds.Greet())
    async with installation.working(worker):
        await eventually(lambda: installation.is_in(job_id, "completed"))
    assert [(event.what, event.attempt) for event in told] == [(EventType.COMPLETED, 2)]


async def test_a_transaction_that_is_still_open_is_waited_for(
    installation: Installation, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler leaves its connection open: it blocks no other, and its job is neither lost nor run again."""
    monkeypatch.setattr(reconciler, "INTERVAL", timedelta(milliseconds=50))
    connection = await psycopg.AsyncConnection.connect(installation.dsn)
    returned = asyncio.Event()

    async def greet(message: Any, job: RunningJob) -> None:
        await job.complete_in_async(connection)
        returned.set()

    async def do_nothing(message: Any, job: RunningJob) -> None:
        pass

    left = await installation.enqueue(TestKinds.Greet())
    async with installation.working(installation.worker(installation.handlers(Greet=greet, Count=do_nothing))):
        await returned.wait()
        for _ in range(3):
            other = await installation.enqueue(TestKinds.Count())
            await eventually(lambda other=other: installation.is_in(other, "completed"))
        assert await installation.is_in(left, "running")
        await connection.commit()
        await eventually(lambda: installation.is_in(left, "completed"))
    await connection.close()
    assert (await installation.job(left)).lease == 1


async def test_a_connection_of_another_kind_is_refused(installation: Installation, eventually: Eventually) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        await job.complete_in_async(object())  # type: ignore[arg-type]

    job = await run(installation, eventually, greet, "discarded", max_retries=0)
    assert job.errors[0].type == "TypeError"


async def test_a_connection_of_the_other_form_is_rejected_with_the_form_to_use(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        async with await psycopg.AsyncConnection.connect(installation.dsn) as connection:
            job.complete_in(connection)  # type: ignore[arg-type]

    def count_up(message: Any, job: RunningJob) -> None:
        with psycopg.connect(installation.dsn) as connection:
            asyncio.run(job.complete_in_async(connection))  # type: ignore[arg-type]

    job = await run(installation, eventually, greet, "discarded", max_retries=0)
    assert job.errors[0].message.endswith("is asynchronous: use complete_in_async instead")
    job = await run(installation, eventually, count_up, "discarded", max_retries=0)
    assert job.errors[0].message.endswith("is blocking: use complete_in instead")


async def with_psycopg_in_autocommit(dsn: str, message: Any, job: RunningJob) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await job.complete_in_async(connection)


def with_autocommit_in_a_thread(dsn: str, message: Any, job: RunningJob) -> None:
    engine = create_engine(dsn)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            job.complete_in(connection)
    finally:
        engine.dispose()


@pytest.mark.parametrize("handler", [with_psycopg_in_autocommit, with_autocommit_in_a_thread])
async def test_a_connection_that_commits_each_statement_is_refused(
    handler: Any, installation: Installation, eventually: Eventually
) -> None:
    job = await run(installation, eventually, bound(handler, installation.dsn), "discarded", max_retries=0)
    [error] = job.errors
    assert error.type == "ValueError"
    assert error.message.startswith(
        f"job {job.id} can't be completed on a connection that commits each statement: open"
    )


async def test_a_transaction_with_psycopg_in_autocommit_mode_is_one(
    installation: Installation, eventually: Eventually
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        async with (
            await psycopg.AsyncConnection.connect(installation.dsn, autocommit=True) as connection,
            connection.transaction(),
        ):
            await connection.execute(EFFECT, (job.id,))
            await job.complete_in_async(connection)

    await run(installation, eventually, greet)
    assert await count(installation) == 1
