"""Postgres down, restarted, frozen or outdated: calls end in bounded time, and the server recovers by itself."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import psycopg
import pytest
from eventually import Eventually
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError, UnaryUnaryCall, insecure_channel
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, Serve, Verification

from headrace.embedded_postgres import EmbeddedPostgres
from headrace.jobs.v1.jobs_service_pb2 import GetJobRequest
from headrace.queue.db.migrate import up
from jobs_service.enqueue import group_commit
from jobs_service.server.program import JobsServer

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
BOUND = 20.0
"""Far above the 4 s that a call may take by its settings, for a machine that is busy; and far from waiting for good."""


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to be stopped at will."""
    with EmbeddedPostgres(settings={"fsync": "off"}) as server:
        yield server


async def health(server: JobsServer, service: str) -> int:
    async with insecure_channel(f"127.0.0.1:{server.port}") as channel:
        answer = await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(service=service))
        status: int = answer.status
        return status


async def refused_in_time(call: Awaitable[Any], bound: float = BOUND) -> AioRpcError:
    began = time.monotonic()
    with pytest.raises(AioRpcError) as refused:
        await call
    assert time.monotonic() - began < bound
    assert refused.value.code() == StatusCode.UNAVAILABLE
    return refused.value


async def is_answered(call: Callable[[], Awaitable[Any]]) -> bool:
    try:
        await call()
    except AioRpcError as error:
        if error.code() == StatusCode.UNAVAILABLE:
            return False
        raise
    return True


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_stopped_postgres_is_unavailable_and_comes_back_by_itself(
    own_postgres: EmbeddedPostgres,
    serve: Serve,
    client_of: ClientOf,
    verification: Verification,
    mode: Any,
    eventually: Eventually,
) -> None:
    async with serve(own_postgres.dsn()) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())
        await eventually(lambda: is_(health(server, "readiness"), SERVING))
        own_postgres.stop(mode)
        error = await refused_in_time(jobs.Enqueue(verification()))
        details = {packed.TypeName() for packed in rpc_status.from_call(error).details}
        assert details == {"google.rpc.ErrorInfo", "google.rpc.RetryInfo"}
        await eventually(lambda: is_(health(server, "readiness"), NOT_SERVING))
        assert await health(server, "liveness") == SERVING
        own_postgres.start()
        await eventually(lambda: is_answered(lambda: jobs.Enqueue(verification())))
        await eventually(lambda: is_(health(server, "readiness"), SERVING))


async def test_a_restart_between_two_calls_is_not_noticed(
    own_postgres: EmbeddedPostgres, serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    async with serve(own_postgres.dsn()) as server, client_of(server) as jobs:
        await asyncio.gather(*(jobs.Enqueue(verification()) for _ in range(20)))
        own_postgres.stop()
        own_postgres.start()
        await jobs.Enqueue(verification())


async def test_a_frozen_postgres_is_unavailable_and_comes_back_by_itself(
    own_postgres: EmbeddedPostgres,
    serve: Serve,
    client_of: ClientOf,
    verification: Verification,
    eventually: Eventually,
) -> None:
    async with serve(own_postgres.dsn()) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())
        own_postgres.freeze()
        try:
            for _ in range(2):
                await asyncio.gather(*(refused_in_time(jobs.Enqueue(verification())) for _ in range(15)))
            await eventually(lambda: is_(health(server, "readiness"), NOT_SERVING))
            assert await health(server, "liveness") == SERVING
        finally:
            own_postgres.thaw()
        await eventually(lambda: is_answered(lambda: jobs.Enqueue(verification())))


async def test_500_calls_to_a_frozen_postgres_all_end_in_time(
    own_postgres: EmbeddedPostgres,
    serve: Serve,
    client_of: ClientOf,
    verification: Verification,
    monkeypatch: pytest.MonkeyPatch,
    eventually: Eventually,
) -> None:
    monkeypatch.setattr(group_commit, "GROUP_JOBS", 10)  # forty groups: one after the other they would take minutes
    async with serve(own_postgres.dsn(), jobs_pool_waiting=100) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())
        own_postgres.freeze()
        try:
            calls: list[Awaitable[object]] = [jobs.Enqueue(verification()) for _ in range(400)]
            calls += [jobs.GetJob(GetJobRequest(job_id="1")) for _ in range(100)]
            # Clients and server share a process here, and 500 refusals take it a moment.
            await asyncio.gather(*(refused_in_time(call, 2 * BOUND) for call in calls))
        finally:
            own_postgres.thaw()
        await eventually(lambda: is_answered(lambda: jobs.Enqueue(verification())))
        await asyncio.gather(*(jobs.Enqueue(verification()) for _ in range(100)))


async def test_more_calls_than_may_wait_are_answered_at_once(
    database: str, serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    settings: dict[str, Any] = {"jobs_pool_size": 1, "jobs_pool_waiting": 3}
    async with serve(**settings) as server, client_of(server) as jobs:
        job_id = (await jobs.Enqueue(verification())).job_id
        with psycopg.connect(database) as other:
            other.execute("lock table headrace.jobs")
            calls = [asyncio.create_task(code_of(jobs.GetJob(GetJobRequest(job_id=job_id)))) for _ in range(20)]
            ended = asyncio.as_completed(calls)
            assert {await next(ended) for _ in range(16)} == {StatusCode.UNAVAILABLE}
            assert not all(call.done() for call in calls)  # four have their place: one at Postgres, three behind it
            other.rollback()
        await asyncio.gather(*calls)


async def code_of(call: UnaryUnaryCall[Any, Any]) -> StatusCode:
    return await call.code()


async def test_a_client_that_gives_up_on_a_frozen_postgres_leaves_nothing_hanging(
    own_postgres: EmbeddedPostgres,
    serve: Serve,
    client_of: ClientOf,
    verification: Verification,
    eventually: Eventually,
) -> None:
    async with serve(own_postgres.dsn()) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())
        own_postgres.freeze()
        try:
            with pytest.raises(AioRpcError) as late:
                await jobs.Enqueue(verification(), timeout=0.3)
            assert late.value.code() == StatusCode.DEADLINE_EXCEEDED
            began = time.monotonic()
        finally:
            own_postgres.thaw()
        await eventually(lambda: is_answered(lambda: jobs.Enqueue(verification())))
    assert time.monotonic() - began < 10


async def test_a_statement_that_waits_too_long_for_a_lock_is_unavailable(
    database: str, serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    async with serve() as server, client_of(server) as jobs:
        with psycopg.connect(database) as other:
            other.execute("lock table headrace.jobs")
            await refused_in_time(jobs.Enqueue(verification()))
            other.rollback()
        await jobs.Enqueue(verification())


async def test_a_server_starts_while_postgres_is_away(
    own_postgres: EmbeddedPostgres, serve: Serve, client_of: ClientOf, eventually: Eventually
) -> None:
    url = own_postgres.dsn()
    own_postgres.stop()
    async with serve(url, migrate=False) as server, client_of(server) as jobs:
        error = await refused_in_time(jobs.GetJob(GetJobRequest(job_id="1")))
        assert rpc_status.from_call(error).details
        own_postgres.start()
        await eventually(lambda: is_(health(server, "readiness"), NOT_SERVING))


async def test_a_database_without_the_tables_is_unavailable_until_it_is_migrated(
    database: str, serve: Serve, client_of: ClientOf, eventually: Eventually
) -> None:
    async with serve(migrate=False) as server, client_of(server) as jobs:
        error = await refused_in_time(jobs.GetJob(GetJobRequest(job_id="1")))
        info = error_details_pb2.ErrorInfo()
        rpc_status.from_call(error).details[0].Unpack(info)
        assert info.reason == "DATABASE_AWAY"
        assert await health(server, "readiness") == NOT_SERVING
        up(database)
        await eventually(lambda: is_(health(server, "readiness"), SERVING))


async def is_(answer: Awaitable[int], expected: int) -> bool:
    return await answer == expected
