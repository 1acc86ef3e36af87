"""Clients and several servers: calls are spread, connections grow no older than they may, and ends are noticed."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.server import GrpcServer
from headrace.jobs.v1 import jobs_service_pb2_grpc
from headrace.jobs.v1.jobs_service_pb2 import GetJobRequest, GetJobResponse

SERVICE = "headrace.jobs.v1.JobsService"
ONE = GetJobRequest(job_id="1")


class Replica:
    """A JobsService that notes who calls GetJob, and returns when it is let."""

    def __init__(self) -> None:
        self.peers: Counter[str] = Counter()
        self.called = asyncio.Event()
        self.open = asyncio.Event()
        self.open.set()

    async def GetJob(self, _request: Any, context: Any) -> GetJobResponse:  # noqa: N802
        self.peers[context.peer()] += 1
        self.called.set()
        await self.open.wait()
        return GetJobResponse()

    def __getattr__(self, method: str) -> Any:
        return self.GetJob


@asynccontextmanager
async def serving(replica: Replica, **options: Any) -> AsyncIterator[tuple[GrpcServer, str]]:
    server = GrpcServer(address="127.0.0.1:0", **options)
    servicer: Any = replica
    server.add(jobs_service_pb2_grpc.add_JobsServiceServicer_to_server, servicer, SERVICE)
    address = f"127.0.0.1:{await server.start()}"
    try:
        yield server, address
    finally:
        await server.stop(0)


async def test_calls_are_spread_over_all_replicas_and_go_on_when_one_is_gone() -> None:
    replicas = Replica(), Replica()
    async with (
        serving(replicas[0]) as (first, one),
        serving(replicas[1]) as (_, two),
        open_channel(f"ipv4:{one},{two}", timeout=10) as channel,
    ):
        jobs = jobs_service_pb2_grpc.JobsServiceStub(channel)
        async with asyncio.timeout(10):
            while not all(replica.peers for replica in replicas):
                await jobs.GetJob(ONE)
        before = [replica.peers.total() for replica in replicas]
        await asyncio.gather(*(jobs.GetJob(ONE) for _ in range(40)))
        assert [replica.peers.total() - had for replica, had in zip(replicas, before, strict=True)] == [20, 20]
        await first.stop(0)
        for _ in range(20):
            await jobs.GetJob(ONE)
        assert replicas[1].peers.total() == before[1] + 40


async def test_a_call_under_way_is_finished_by_a_server_that_stops() -> None:
    replica = Replica()
    async with serving(replica) as (server, address), open_channel(address, timeout=20) as channel:
        jobs = jobs_service_pb2_grpc.JobsServiceStub(channel)
        replica.open.clear()
        call = jobs.GetJob(ONE)
        answer = asyncio.ensure_future(_answer(call))
        await asyncio.wait_for(replica.called.wait(), 10)
        stopping = asyncio.create_task(server.stop(10))
        replica.open.set()
        assert await answer == GetJobResponse()
        await stopping


async def _answer(call: Any) -> Any:
    return await call


async def test_a_connection_that_is_too_old_is_made_anew_without_a_failed_call() -> None:
    replica = Replica()
    async with (
        serving(replica, max_connection_age=timedelta(milliseconds=100)) as (_, address),
        open_channel(address, timeout=10) as channel,
    ):
        jobs = jobs_service_pb2_grpc.JobsServiceStub(channel)
        async with asyncio.timeout(20):
            while len(replica.peers) < 4:
                await jobs.GetJob(ONE)
