"""Several servers over one Postgres: one that is killed or told to end under load loses nothing and doubles nothing."""

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from jobs_server_fixtures import JobsClient

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.queue.db.migrate import up

COMMAND = [sys.executable, "-c", "from jobs_service.server.program import main; main()"]
CALLS = 400


class Replica:
    """A server as a separate process."""

    def __init__(self, process: asyncio.subprocess.Process, address: str) -> None:
        self.process = process
        self.address = address


@asynccontextmanager
async def replica(database: str, folder: Path) -> AsyncIterator[Replica]:
    callers = folder / "callers.toml"
    callers.write_text(
        f'[[callers]]\nname = "api"\ntoken_sha256 = ["{token_hash("t")}"]\nkinds = ["*"]\nmethods = ["*"]\n'
    )
    environment = {
        **os.environ,
        "JOBS_DATABASE_URL": database,
        "JOBS_HASH_KEYS": base64.b64encode(b"0" * 32).decode(),
        "JOBS_KINDS": "saas.jobs.v1.kinds_pb2",
        "JOBS_CALLERS_FILE": str(callers),
        "JOBS_GRPC_ADDRESS": "127.0.0.1:0",
    }
    process = await asyncio.create_subprocess_exec(*COMMAND, env=environment, stdout=subprocess.PIPE)
    assert process.stdout is not None
    address = ""
    async for text in process.stdout:
        line = json.loads(text)
        address = line.get("address", address)
        if line["event"] == "ready":
            break
    reading = asyncio.create_task(process.stdout.read(), name="log")  # so that the pipe never fills up
    try:
        yield Replica(process, address)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        await reading


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
async def test_a_replica_that_ends_under_load_loses_nothing_and_doubles_nothing(
    database: str, tmp_path: Path, verification: Callable[..., EnqueueRequest], number: signal.Signals
) -> None:
    up(database)
    answered: dict[str, str] = {}
    under_load = asyncio.Event()

    async def enqueue(jobs: JobsClient, keys: range) -> None:
        for key in keys:
            request = verification(idempotency_key=str(key))
            answered[str(key)] = (await jobs.Enqueue(request)).job_id
            if len(answered) >= CALLS // 4:
                under_load.set()

    async with replica(database, tmp_path) as one, replica(database, tmp_path) as two:
        target = f"ipv4:{one.address},{two.address}"
        async with open_channel(target, token="t", timeout=60) as channel, asyncio.TaskGroup() as load:
            jobs = JobsServiceStub(channel)
            for first in range(20):
                load.create_task(enqueue(jobs, range(first, CALLS, 20)))
            await asyncio.wait_for(under_load.wait(), 60)
            one.process.send_signal(number)
        if number is signal.SIGTERM:
            assert await asyncio.wait_for(one.process.wait(), 30) == 0
    assert len(answered) == CALLS
    with psycopg.connect(database) as connection:
        kept = connection.execute("select id from headrace.jobs").fetchall()
    assert sorted(str(row[0]) for row in kept) == sorted(answered.values())
