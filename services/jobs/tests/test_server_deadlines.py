"""A deadline that passes before the commit leaves no job; one that passes after it, a job that its key finds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest
from eventually import Eventually
from grpc import StatusCode
from grpc.aio import AioRpcError
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Verification

from headrace.embedded_postgres import EmbeddedPostgres
from headrace.jobs.v1.jobs_service_pb2 import EnqueueBatchRequest, EnqueueRequest, ListKindsRequest

Send = Callable[[Any, list[EnqueueRequest], float | None], Awaitable[Any]]


async def alone(jobs: JobsClient, requests: list[EnqueueRequest], seconds: float | None) -> list[Any]:
    """Makes one call for each request, all at once. Returns the first error, or all responses."""
    answers = await asyncio.gather(*(jobs.Enqueue(each, timeout=seconds) for each in requests), return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return list(answers)


async def as_a_batch(jobs: JobsClient, requests: list[EnqueueRequest], seconds: float | None) -> list[Any]:
    """All of them in one call."""
    answer = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=requests), timeout=seconds)
    return [result.accepted for result in answer.results]


@pytest.fixture(params=[alone, as_a_batch], ids=["alone", "in a batch"])
def send(request: pytest.FixtureRequest) -> Send:
    """How the jobs are sent."""
    chosen: Send = request.param
    return chosen


@pytest.fixture
def keyed(verification: Verification) -> list[EnqueueRequest]:
    """Three jobs with keys."""
    return [verification(idempotency_key=f"row-{number}") for number in range(3)]


# Deferred to the commit, which Postgres has been told by then; shorter than the server waits for Postgres.
SLOW_COMMIT = """
create function slow() returns trigger language plpgsql as $$
begin
  if current_setting('slow.once', true) is distinct from pg_current_xact_id()::text then
    perform set_config('slow.once', pg_current_xact_id()::text, true), pg_sleep(4);
  end if;
  return null;
end $$;
create constraint trigger slow after insert on headrace.jobs deferrable initially deferred
  for each row execute function slow();
"""


async def late(call: Awaitable[Any]) -> None:
    with pytest.raises(AioRpcError) as error:
        await call
    assert error.value.code() is StatusCode.DEADLINE_EXCEEDED


@asynccontextmanager
async def held(url: str, jobs: JobsClient) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Holds every insert of a job up, until the block has ended and the server has heard of what was given up in it."""
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("lock table headrace.jobs in share mode")
        yield connection
        await jobs.ListKinds(ListKindsRequest())
        await connection.rollback()


async def at_rest(url: str, eventually: Eventually) -> int:
    """Waits until the server is idle in the database. Returns the number of jobs."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:

        async def idle() -> bool:
            cursor = await connection.execute(
                "select from pg_stat_activity where datname = current_database() and application_name = 'jobs-server'"
                " and state <> 'idle'"
            )
            return not await cursor.fetchall()

        await eventually(idle)
        cursor = await connection.execute("select count(*) from headrace.jobs")
        row = await cursor.fetchone()
        assert row is not None
        return int(row[0])


async def test_a_deadline_that_passes_while_a_lock_is_waited_for_leaves_no_job(
    jobs: JobsClient, keyed: list[EnqueueRequest], send: Send, database: str, eventually: Eventually
) -> None:
    async with held(database, jobs):
        await late(send(jobs, keyed, 0.5))
    assert await at_rest(database, eventually) == 0
    answers = await send(jobs, keyed, None)
    assert [answer.duplicate for answer in answers] == [False] * 3, "the keys must be free"
    assert await at_rest(database, eventually) == 3


async def test_a_client_that_hangs_up_before_the_commit_leaves_no_job(
    jobs: JobsClient, keyed: list[EnqueueRequest], database: str, eventually: Eventually
) -> None:
    async with held(database, jobs) as watching:
        call = jobs.Enqueue(keyed[0])

        async def waits() -> bool:
            cursor = await watching.execute("select from pg_locks where not granted")
            return bool(await cursor.fetchall())

        started = asyncio.ensure_future(asyncio.wait_for(call, 20))
        await eventually(waits)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await started
    assert await at_rest(database, eventually) == 0


async def test_an_enqueue_call_succeeds_though_the_deadline_of_another_in_its_batch_passes(
    jobs: JobsClient, verification: Verification, database: str, eventually: Eventually
) -> None:
    async with held(database, jobs):
        patient = [asyncio.ensure_future(jobs.Enqueue(verification(), timeout=20)) for _ in range(3)]
        await late(jobs.Enqueue(verification(), timeout=0.5))
    assert len({(await each).job_id for each in patient}) == 3
    assert await at_rest(database, eventually) == 3


async def test_a_job_committed_before_its_calls_deadline_is_found_by_its_key(
    jobs: JobsClient, keyed: list[EnqueueRequest], send: Send, database: str, eventually: Eventually
) -> None:
    # Of calls that come at once some may wait until others have committed: their deadline would pass before theirs.
    sent = keyed if send is as_a_batch else keyed[:1]
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:
        await connection.execute(SLOW_COMMIT)
        await late(send(jobs, sent, 2.0))  # by then all are there, and committing
        assert await at_rest(database, eventually) == len(sent)
        await connection.execute("drop trigger slow on headrace.jobs")
    answers = await send(jobs, sent, None)
    assert [answer.duplicate for answer in answers] == [True] * len(sent)
    assert await at_rest(database, eventually) == len(sent)


@pytest.fixture
def own_postgres() -> Iterator[EmbeddedPostgres]:
    """A server of the test's own, to be frozen at will."""
    with EmbeddedPostgres(settings={"fsync": "off"}) as server:
        yield server


async def test_a_deadline_that_passes_while_postgres_is_frozen_never_makes_two_jobs(
    own_postgres: EmbeddedPostgres,
    serve: Serve,
    client_of: ClientOf,
    keyed: list[EnqueueRequest],
    eventually: Eventually,
) -> None:
    async with serve(own_postgres.dsn()) as server, client_of(server) as jobs:
        await alone(jobs, keyed[:1], None)
        own_postgres.freeze()
        try:
            await late(alone(jobs, keyed[1:], 0.5))
        finally:
            own_postgres.thaw()
        # It is unknown whether Postgres had received the commit; the idempotency key finds out.
        found = await at_rest(own_postgres.dsn(), eventually)

        async def answered() -> list[Any]:
            try:
                return await alone(jobs, keyed, 20)
            except AioRpcError as error:  # the pool finds its way back
                if error.code() is not StatusCode.UNAVAILABLE:
                    raise
                return []

        await eventually(answered)
        answers = await answered()
        assert len({answer.job_id for answer in answers}) == 3
        assert await at_rest(own_postgres.dsn(), eventually) == 3
        assert found <= 3
