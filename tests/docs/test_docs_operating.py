"""What docs/operating.md says about connections, and about a collector that is away, is so."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psycopg
from psycopg.rows import scalar_row

from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, WorkerSettings
from headrace.queue.db.migrate import up
from saas.jobs.v1 import kinds_pb2

PAGE = Path(__file__).resolve().parents[2] / "docs/operating.md"
PROGRAM = Path(sys.executable).with_name("jobs-server")
CALLERS = '[[callers]]\nname = "test"\ntoken_sha256 = ["{}"]\nkinds = ["*"]\nmethods = ["*"]\n'
# The last spans are given up after a second; the rest is for a slow machine.
ENDS_WITHIN = 6.0
Eventually = Callable[..., Awaitable[None]]


async def test_a_worker_holds_the_connections_that_the_page_lists_whatever_it_runs(
    database: str, eventually: Eventually
) -> None:
    row = re.search(
        r"^\| `jobs-worker` \| jobs \| (\d+) \| `headrace` and what it is for: (.+) \|$", PAGE.read_text(), re.MULTILINE
    )
    assert row, "the page lacks the worker's row"
    kinds = Kinds.of_file(kinds_pb2.DESCRIPTOR)
    handlers, gate, jobs = Handlers(kinds), asyncio.Event(), 30
    started = 0

    async def hold(_message: kinds_pb2.ReconcileStripe, _job: RunningJob) -> None:
        nonlocal started
        started += 1
        await gate.wait()

    handlers.add(kinds_pb2.ReconcileStripe, hold)
    up(database)
    worker = Worker(database, handlers, settings=WorkerSettings(slots=jobs - 1))
    async with asyncio.TaskGroup() as group, await psycopg.AsyncConnection.connect(database, autocommit=True) as client:
        group.create_task(worker.run())
        await Enqueuer(kinds).enqueue_many_async(client, [NewJob(kinds_pb2.ReconcileStripe())] * jobs)
        await eventually(lambda: done(started == jobs - 1))
        gate.set()
        await eventually(lambda: done(started == jobs))

        async def settled() -> bool:
            cursor = await client.execute("select count(*) = 0 from headrace.jobs where state <> 'completed'")
            return await cursor.fetchone() == (True,)

        await eventually(settled)
        names = await client.cursor(row_factory=scalar_row).execute(
            "select application_name from pg_stat_activity"
            " where datname = current_database() and pid <> pg_backend_pid()"
        )
        held = sorted(await names.fetchall())
        worker.stop()
    assert held == sorted(f"headrace {purpose}" for purpose in row[2].split(", "))
    assert len(held) == int(row[1])


def test_every_query_of_the_page_can_be_run_by_the_reader(postgres: Any, database: str) -> None:
    reader = f"reader_{uuid4().hex}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"create role {reader} login")
        try:
            up(database, grants={"reader": reader})
            name = owner.info.dbname
            with psycopg.connect(postgres.dsn(name, user=reader)) as connection:
                blocks = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
                queries = [query for block in blocks for query in block.split(";") if query.strip()]
                assert queries
                for query in queries:
                    connection.execute(query).fetchall()
        finally:
            owner.execute(f"drop owned by {reader}; drop role {reader}")


async def done(so: bool) -> bool:
    return so


def test_a_collector_that_is_away_changes_nothing(database: str, tmp_path: Path) -> None:
    up(database)
    (tmp_path / "callers.toml").write_text(CALLERS.format(token_hash("token")))
    environment = os.environ | {
        "JOBS_DATABASE_URL": database,
        "JOBS_HASH_KEYS": "MDEyMzQ1Njc4OWFiY2RlZg==",
        "JOBS_KINDS": "saas.jobs.v1.kinds_pb2",
        "JOBS_CALLERS_FILE": str(tmp_path / "callers.toml"),
        "JOBS_GRPC_ADDRESS": "127.0.0.1:0",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_TIMEOUT": "1",
    }
    with subprocess.Popen([PROGRAM], env=environment, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        line = next(line for line in program.stdout if '"listening"' in line)
        address = re.search(r"127\.0\.0\.1:\d+", line)
        assert address
        request = EnqueueRequest()
        request.payload.Pack(kinds_pb2.ReconcileStripe())
        with grpc.insecure_channel(address[0]) as channel:
            answer = JobsServiceStub(channel).Enqueue(
                request, metadata=(("authorization", "Bearer token"),), timeout=10
            )
        assert answer.job_id
        told_at = time.monotonic()
        program.send_signal(signal.SIGTERM)
        assert program.wait(30) == 0
        assert time.monotonic() - told_at < ENDS_WITHIN
