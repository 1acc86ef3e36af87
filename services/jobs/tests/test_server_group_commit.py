"""Unary enqueues that come in together share a transaction, and none of them pays for another one."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import psycopg
import pytest
from eventually import Eventually
from jobs_server_fixtures import JobsClient, Verification

from headrace.jobs.v1 import jobs_service_pb2 as pb
from jobs_service.server.program import JobsServer


@pytest.fixture
async def admin(database: str, jobs_server: JobsServer) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        yield connection


async def count(admin: psycopg.AsyncConnection[Any], query: str, *params: Any) -> int:
    row = await (await admin.execute(query, params)).fetchone()
    assert row is not None
    return int(row[0])


async def test_calls_that_come_together_are_all_answered_after_their_commit(
    jobs: JobsClient, admin: psycopg.AsyncConnection[Any], verification: Verification
) -> None:
    answers = await asyncio.gather(*(jobs.Enqueue(verification(idempotency_key=str(uuid4()))) for _ in range(300)))
    assert len({answer.job_id for answer in answers}) == 300
    assert await count(admin, "select count(*) from headrace.jobs") == 300
    transactions = await count(admin, "select count(distinct ready_xid) from headrace.jobs")
    assert transactions < 150, "under load, calls share transactions"


async def test_a_call_at_rest_has_a_transaction_of_its_own(
    jobs: JobsClient, admin: psycopg.AsyncConnection[Any], verification: Verification
) -> None:
    for _ in range(3):
        await jobs.Enqueue(verification())
    assert await count(admin, "select count(distinct ready_xid) from headrace.jobs") == 3


async def test_the_same_key_many_times_at_once_is_one_job(
    jobs: JobsClient, admin: psycopg.AsyncConnection[Any], verification: Verification
) -> None:
    request = verification(idempotency_key="k")
    answers = await asyncio.gather(*(jobs.Enqueue(request) for _ in range(100)))
    assert len({answer.job_id for answer in answers}) == 1
    assert sum(not answer.duplicate for answer in answers) == 1
    assert await count(admin, "select count(*) from headrace.jobs") == 1


async def test_a_refused_call_refuses_no_other(jobs: JobsClient, verification: Verification) -> None:
    await jobs.Enqueue(verification(idempotency_key="taken"))
    good = [jobs.Enqueue(verification()) for _ in range(50)]
    bad = [jobs.Enqueue(verification(idempotency_key="taken")) for _ in range(10)]
    results: list[Any] = await asyncio.gather(*good, *bad, return_exceptions=True)
    assert all(isinstance(each, pb.EnqueueResponse) for each in results[:50])
    assert {each.code() for each in results[50:]} == {grpc.StatusCode.FAILED_PRECONDITION}


async def test_a_call_that_waits_for_a_strangers_lock_holds_up_no_other(
    jobs: JobsClient, database: str, verification: Verification, admin: psycopg.AsyncConnection[Any]
) -> None:
    held = verification(idempotency_key="held")
    first = await jobs.Enqueue(held)
    async with await psycopg.AsyncConnection.connect(database) as stranger:
        await stranger.execute("delete from headrace.idempotency_keys where key = 'held'")
        blocked = asyncio.ensure_future(jobs.Enqueue(held))
        others = [asyncio.ensure_future(jobs.Enqueue(verification(idempotency_key=f"k{n}"))) for n in range(100)]
        await asyncio.gather(*others)
        assert not blocked.done()
        await stranger.rollback()
    assert (await blocked).job_id == first.job_id
    assert await count(admin, "select count(*) from headrace.jobs") == 101


async def test_a_commit_is_waited_for_with_more_patience_than_a_strangers_lock(
    database: str,
    serve: Callable[..., AbstractAsyncContextManager[JobsServer]],
    client_of: Callable[..., AbstractAsyncContextManager[Any]],
    verification: Verification,
    eventually: Eventually,
) -> None:
    async with (
        serve(jobs_database_timeout=timedelta(seconds=60)) as server,
        client_of(server) as jobs,
        await psycopg.AsyncConnection.connect(database, autocommit=True) as admin,
        await psycopg.AsyncConnection.connect(database) as stranger,
    ):
        await admin.execute(
            """
            create function wait_at_commit() returns trigger language plpgsql security definer as $$
            begin perform pg_advisory_xact_lock_shared(7); return null; end $$;
            create constraint trigger wait_at_commit after insert on headrace.jobs deferrable initially deferred
              for each row execute function wait_at_commit()
            """
        )
        await stranger.execute("select pg_advisory_xact_lock(7)")

        # One of them with more than one job. What comes in after that group waits for it.
        async def all_wait_longer_than_for_a_lock() -> bool:
            query = """
                select (count(*) = count(*) filter (where clock_timestamp() - waitstart > interval '0.2 s')
                        and (select last_value from headrace.jobs_id_seq) > count(*))::integer
                from pg_locks where locktype = 'advisory' and not granted having count(*) > 0
            """
            cursor = await admin.execute(query)
            return await cursor.fetchone() == (1,)

        calls = [asyncio.ensure_future(jobs.Enqueue(verification())) for _ in range(11)]
        await eventually(all_wait_longer_than_for_a_lock)
        await stranger.rollback()
        await asyncio.gather(*calls)
        assert await count(admin, "select count(*) from headrace.jobs") == 11


async def test_a_call_cancelled_before_its_commit_enqueues_no_job_and_harms_no_other(
    jobs: JobsClient,
    database: str,
    verification: Verification,
    admin: psycopg.AsyncConnection[Any],
    eventually: Eventually,
) -> None:
    async with await psycopg.AsyncConnection.connect(database) as stranger:
        await stranger.execute("lock table headrace.jobs in access exclusive mode")
        calls = [asyncio.ensure_future(jobs.Enqueue(verification(idempotency_key=f"k{n}"))) for n in range(40)]

        async def waits() -> bool:
            return await count(admin, "select count(*) from pg_locks where not granted") > 0

        await eventually(waits)
        for call in calls[:20]:
            call.cancel()
        await asyncio.wait(calls[:20])
        await jobs.ListKinds(pb.ListKindsRequest())  # the server has heard of that, too
        await stranger.rollback()
    await asyncio.gather(*calls[20:])
    kept = await (await admin.execute("select key from headrace.idempotency_keys")).fetchall()
    assert {key for (key,) in kept} == {f"k{n}" for n in range(20, 40)}
    assert await count(admin, "select count(*) from headrace.jobs") == 20


async def test_a_deadline_that_passes_before_the_commit_leaves_no_job(
    jobs: JobsClient,
    database: str,
    verification: Verification,
    admin: psycopg.AsyncConnection[Any],
    eventually: Eventually,
) -> None:
    request = verification(idempotency_key="late")
    async with await psycopg.AsyncConnection.connect(database) as stranger:
        await stranger.execute("lock table headrace.jobs in access exclusive mode")
        with pytest.raises(grpc.aio.AioRpcError) as late:
            await jobs.Enqueue(request, timeout=0.3)
        assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        await jobs.ListKinds(pb.ListKindsRequest())  # the server has heard of that, too
        await stranger.rollback()

    async def idle() -> bool:
        query = (
            "select count(*) from pg_stat_activity where application_name = 'jobs-server' and xact_start is not null"
        )
        return await count(admin, query) == 0

    await eventually(idle)
    assert await count(admin, "select count(*) from headrace.jobs") == 0
    assert not (await jobs.Enqueue(request)).duplicate


async def test_a_large_group_is_cut_to_the_limit_of_a_batch(
    serve: Callable[..., AbstractAsyncContextManager[JobsServer]],
    client_of: Callable[..., AbstractAsyncContextManager[Any]],
    verification: Verification,
) -> None:
    async with serve(jobs_batch_limit=3) as server, client_of(server) as jobs:
        answers = await asyncio.gather(*(jobs.Enqueue(verification()) for _ in range(60)))
    assert len({answer.job_id for answer in answers}) == 60
