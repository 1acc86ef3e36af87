"""The database down, hanging, and back: errors within a time limit, and no restart needed."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
from eventually import Eventually
from grpc import StatusCode
from grpc_health.v1 import health_pb2, health_pb2_grpc

from api_service import migrate
from headrace.chassis.rpc.client import open_channel
from headrace.embedded_postgres import EmbeddedPostgres

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused, StartApi

TIMEOUT = 2.0


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of this test alone, to be stopped and stalled."""
    with EmbeddedPostgres(settings={"fsync": "off"}) as server:
        with psycopg.connect(server.dsn(), autocommit=True) as admin:
            admin.execute("create database api")
        migrate.up(server.dsn("api"))
        yield server


@pytest.fixture
async def api_beside(start_api: StartApi, own_postgres: EmbeddedPostgres) -> Api:
    """The service on that server; a call gives up after two seconds."""
    return await start_api(API_DATABASE_URL=own_postgres.dsn("api"), API_DATABASE_TIMEOUT=f"{TIMEOUT:.0f}s")


def server_processes(postgres: EmbeddedPostgres) -> list[int]:
    """The server's process and those of its connections."""
    with psycopg.connect(postgres.dsn()) as admin:
        backends = admin.execute("select pid from pg_stat_activity where backend_type = 'client backend'").fetchall()
    return [postgres.pid, *(row[0] for row in backends)]


async def is_ready(api: Api) -> bool:
    return (await api.http.get("/readyz")).status_code == 200


async def test_while_postgres_is_down_calls_are_refused_in_time_and_work_again_when_it_is_back(
    api_beside: Api, own_postgres: EmbeddedPostgres, refused: Refused, eventually: Eventually
) -> None:
    api = api_beside
    await api.registered()
    await eventually(lambda: is_ready(api))
    own_postgres.stop("immediate")

    begun = time.monotonic()
    with refused(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"):
        await api.login()
    page = await api.http.post("/verify", data={"token": "any"})
    assert page.status_code == 503
    assert page.headers["retry-after"] == "5"
    assert time.monotonic() - begun < 5 * TIMEOUT
    await eventually(lambda: is_not_ready(api))
    assert (await api.http.get("/livez")).status_code == 200

    own_postgres.start()
    await eventually(lambda: is_ready(api))
    await api.login()


async def is_not_ready(api: Api) -> bool:
    return not await is_ready(api)


async def test_a_postgres_that_hangs_is_a_refusal_in_time_too(
    api_beside: Api, own_postgres: EmbeddedPostgres, refused: Refused, eventually: Eventually
) -> None:
    api = api_beside
    await api.registered()
    await eventually(lambda: is_ready(api))
    stalled = server_processes(own_postgres)
    for pid in stalled:
        os.kill(pid, signal.SIGSTOP)
    try:
        begun = time.monotonic()
        answers = await asyncio.gather(*(api.http.post("/verify", data={"token": "any"}) for _ in range(15)))
        with refused(StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE"):
            await api.login()
        assert {answer.status_code for answer in answers} == {503}
        # The pool's ten connections time out, then those that waited for one; gRPC tries again on its own.
        assert time.monotonic() - begun < 10 * TIMEOUT
    finally:
        for pid in reversed(stalled):
            os.kill(pid, signal.SIGCONT)
    await eventually(lambda: is_ready(api))
    await api.login()


async def test_the_service_starts_without_its_database_and_without_a_schema_and_says_so(
    start_api: StartApi, own_postgres: EmbeddedPostgres, refused: Refused, eventually: Eventually
) -> None:
    with psycopg.connect(own_postgres.dsn(), autocommit=True) as admin:
        admin.execute("create database later")
    own_postgres.stop()
    api = await start_api(API_DATABASE_URL=own_postgres.dsn("later"), API_DATABASE_TIMEOUT=f"{TIMEOUT:.0f}s")
    await eventually(lambda: says(api, "unavailable"))
    with refused(StatusCode.UNAVAILABLE):
        await api.register()

    own_postgres.start()
    await eventually(lambda: says(api, "schema missing"))
    migrate.up(own_postgres.dsn("later"))
    await eventually(lambda: is_ready(api))
    await api.register()


async def says(api: Api, what: str) -> bool:
    return what in (await api.http.get("/readyz")).text


async def test_health_says_on_both_grpc_listeners_whether_the_service_is_ready(
    api_beside: Api, own_postgres: EmbeddedPostgres, eventually: Eventually
) -> None:
    async def all_say(status: int) -> bool:
        answers = []
        for port in (api_beside.ports.grpc, api_beside.ports.worker_grpc):
            channel = open_channel(f"127.0.0.1:{port}")
            health = health_pb2_grpc.HealthStub(channel)
            answers.append((await health.Check(health_pb2.HealthCheckRequest())).status)
            await channel.close()
        return set(answers) == {status}

    await eventually(lambda: all_say(health_pb2.HealthCheckResponse.SERVING))
    own_postgres.stop("immediate")
    await eventually(lambda: all_say(health_pb2.HealthCheckResponse.NOT_SERVING))


async def test_a_jobs_service_that_is_away_is_told_of_and_does_not_make_the_service_unready(
    api: Api, eventually: Eventually
) -> None:
    await eventually(lambda: is_ready(api))
    await api.jobs.stop()

    async def away() -> httpx.Response | None:
        answer = await api.http.get("/readyz")
        return answer if answer.json()["jobs"] != "ok" else None

    answer: httpx.Response = await eventually(away)
    assert answer.status_code == 200
    assert "outbox" in answer.json()["jobs"]
