"""Queues with a limit of available jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, Serve

from headrace.jobs.v1.jobs_service_pb2 import EnqueueBatchRequest, EnqueueRequest, ListQueuesRequest
from headrace.queue.db.migrate import up
from headrace.queue.db.statements import statement
from jobs_service.database import Database
from jobs_service.enqueue.queue_depth import FRESH_SECONDS, QueueDepthLimits

Verification = Callable[..., EnqueueRequest]
LIMIT = timedelta(seconds=4)


async def refusal(call: Awaitable[object]) -> AioRpcError:
    with pytest.raises(AioRpcError) as refused:
        await call
    return refused.value


async def test_a_full_queue_takes_no_more_and_says_when_to_come_back(
    serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    async with serve(jobs_queue_depths={"email": 3}) as server, client_of(server) as jobs:
        for _ in range(3):
            await jobs.Enqueue(verification())
        error = await refusal(jobs.Enqueue(verification()))
        await jobs.Enqueue(verification(queue="webhooks"))
        queues = (await jobs.ListQueues(ListQueuesRequest())).queues
    assert error.code() is StatusCode.RESOURCE_EXHAUSTED
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    details: Any = rpc_status.from_call(error)
    assert details.details[0].Unpack(info)
    assert details.details[1].Unpack(retry)
    assert (info.reason, dict(info.metadata)) == ("QUEUE_FULL", {"queue": "email", "limit": "3"})
    assert retry.retry_delay.ToTimedelta() > timedelta()
    limits = {queue.name: queue.max_depth if queue.HasField("max_depth") else None for queue in queues}
    assert (limits["email"], limits["webhooks"]) == (3, None)


async def test_of_a_batch_what_has_room_is_accepted(
    serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    async with serve(jobs_queue_depths={"email": 2}) as server, client_of(server) as jobs:
        requests = [verification(), verification(queue="webhooks"), verification(), verification()]
        results = (await jobs.EnqueueBatch(EnqueueBatchRequest(requests=requests))).results
    codes = [result.refused.code for result in results]
    assert codes == [0, 0, 0, StatusCode.RESOURCE_EXHAUSTED.value[0]]


async def test_scheduled_jobs_are_not_counted_as_available(
    serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    tomorrow = Timestamp()
    tomorrow.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    async with serve(jobs_queue_depths={"email": 1}) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification(run_at=tomorrow))
    async with serve(jobs_queue_depths={"email": 1}) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())


async def test_a_queue_that_got_shorter_is_noticed(database: str) -> None:
    up(database)
    now = 0.0
    async with Database(database, schema="headrace", pool_size=2, waiting=10, timeout=LIMIT) as jobs_database:
        depths = QueueDepthLimits({"email": 2}, jobs_database, clock=lambda: now)

        async def room() -> int:
            await depths.look({"email", "webhooks"})
            taken = 0
            try:
                while taken < 10:
                    depths.take("email")
                    taken += 1
            except Exception:  # noqa: BLE001 (its details are looked at elsewhere)
                return taken
            return taken

        assert await room() == 2
        assert await room() == 0  # the count is still fresh, and this server has taken two
        now += FRESH_SECONDS
        assert await room() == 2  # no call has enqueued anything in the end


async def test_many_calls_at_once_count_a_queue_once(database: str) -> None:
    up(database)
    async with Database(database, schema="headrace", pool_size=2, waiting=1, timeout=LIMIT) as jobs_database:
        depths = QueueDepthLimits({"email": 2}, jobs_database)
        await asyncio.gather(*(depths.look({"email"}) for _ in range(50)))


def test_counting_reads_no_more_of_the_index_than_the_limit(database: str) -> None:
    up(database)
    with psycopg.connect(database) as connection:
        connection.execute(
            "insert into headrace.jobs (queue, kind, version, priority, max_retries, timeout_ms, payload, caller, "
            "state, ready_xid, ready_at) select 'email', 'k', 1, 2, 3, 1000, '', '', 'available', "
            "pg_current_xact_id(), now() from generate_series(1, 20000)"
        )
        connection.execute("analyze headrace.jobs")
        plan = connection.execute(
            f"explain (analyze, format text) {statement('count_available')}", {"queue": "email", "limit": 100}
        ).fetchall()
    text = "\n".join(row[0] for row in plan)
    assert "jobs_ready" in text
    assert "rows=100" in text
