"""A .proto file changes while jobs come in: old and new clients, servers and workers, as processes, in both orders.

The new release adds a field, raises a version, renames a kind, and brings a new one. Its clients write from the
beginning, before any server or worker knows it, and those of the old release write to the end. Nothing may be parked or
discarded, no attempt wasted, and no worker may run a kind or version it doesn't know.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.protobuf.message_factory import GetMessageClass
from psycopg.rows import dict_row
from releases import environment, file_of, write_modules
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from headrace.outbox import Backoff, Outbox, Relay, RelaySettings
from headrace.queue.db import migrate
from local_stack.stack.ports import Ports

KINDS = "saas/jobs/v1/kinds.proto"
PACKAGE = "saas.jobs.v1"
_WORKER = Path(__file__).with_name("rollout_worker.py")
_SERVER = "from jobs_service.server.program import main; main()"
_CHECK = "from headrace.cli import main; main()"
_QUICK = Backoff(base=timedelta(milliseconds=50), factor=2, cap=timedelta(milliseconds=200))

HEAD = f"""syntax = "proto3";
package {PACKAGE};
import "buf/validate/validate.proto";
import "headrace/jobs/v1/options.proto";
message Held {{
  option (headrace.jobs.v1.job) = {{ queue: "held" timeout: {{ seconds: 600 }} }};
  string id = 1;
}}
"""
OLD = (
    HEAD
    + """
message Grown {
  option (headrace.jobs.v1.job) = { queue: "rollout" };
  string id = 1 [(buf.validate.field).string.min_len = 1];
}
message Stepped {
  option (headrace.jobs.v1.job) = { queue: "rollout" };
  string id = 1;
  int64 euros = 2;
}
message Before {
  option (headrace.jobs.v1.job) = { queue: "rollout" };
  string id = 1;
}
"""
)
NEW = (
    HEAD
    + """
message Grown {
  option (headrace.jobs.v1.job) = { queue: "rollout" };
  string id = 1 [(buf.validate.field).string.min_len = 1];
  string extra = 2;
}
message Stepped {
  option (headrace.jobs.v1.job) = { queue: "rollout" version: 2 };
  string id = 1;
  int64 euros = 2;
  int64 cents = 3;
}
message After {
  option (headrace.jobs.v1.job) = { queue: "rollout" former_names: "saas.jobs.v1.Before" };
  string id = 1;
}
message Added {
  option (headrace.jobs.v1.job) = { queue: "added" };
  string id = 1;
}
"""
)
WRITES: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "old": {"Grown": {}, "Stepped": {"euros": 3}, "Before": {}, "Held": {}},
    "new": {"Grown": {"extra": "more"}, "Stepped": {"cents": 300}, "After": {}, "Added": {}, "Held": {}},
}
"""What clients of each release write, by the message's name: the fields besides the id."""

Change = Callable[["Rollout"], Any]


class Rollout:
    """An installation whose programs are replaced one after the other."""

    def __init__(self, database: str, folder: Path, ports: Ports, stack: AsyncExitStack, eventually: Any) -> None:
        self._database = database
        self._folder = folder
        self._ports = ports
        self._stack = stack
        self._eventually = eventually
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._engine = create_async_engine(
            database.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool
        )
        self._metadata = MetaData()
        self._outbox = Outbox(self._metadata)
        self._files = {release: file_of(text, file=KINDS) for release, text in (("old", OLD), ("new", NEW))}
        self.written: Counter[str] = Counter()
        """How many jobs of each kind clients have written."""

    async def begin(self) -> None:
        """Makes the tables, and starts the relay, which knows the addresses of both servers."""
        migrate.up(self._database)
        for release, text in (("old", OLD), ("new", NEW)):
            write_modules(self._folder / release, text, file=KINDS)
        async with self._engine.begin() as connection:
            await connection.run_sync(self._metadata.create_all)
        self._stack.push_async_callback(self._engine.dispose)
        ran = "create table ran (job_id bigint, release text, kind text, version integer, fields jsonb)"
        await self.rows(ran)
        target = ",".join(f"127.0.0.1:{self._ports[f'server-{release}']}" for release in ("old", "new"))
        self._ports.release()
        channel = open_channel(f"ipv4:{target}", token="t")
        self._stack.push_async_callback(channel.close)
        settings = RelaySettings(poll=timedelta(milliseconds=50), row_backoff=_QUICK, outage_backoff=_QUICK)
        stop = asyncio.Event()
        relay = Relay(self._engine, self._outbox, JobsServiceStub(channel), settings=settings)
        relaying = asyncio.create_task(relay.run(stop))

        async def end() -> None:
            stop.set()
            await relaying

        self._stack.push_async_callback(end)

    async def write(self) -> None:
        """Clients of both releases enqueue jobs of each of their kinds, in their own transactions."""
        async with AsyncSession(self._engine) as session, session.begin():
            for release, messages in WRITES.items():
                for name, fields in messages.items():
                    message_class = GetMessageClass(self._files[release].message_types_by_name[name])
                    self._outbox.add(session, message_class(id=f"{release} {self.written[name]}", **fields))
                    self.written[name] += 1

    async def start_server(self, release: str) -> None:
        """Starts the jobs server of a release, and waits until it is ready."""
        callers = self._folder / "callers.toml"
        callers.write_text(
            f'[[callers]]\nname = "api"\ntoken_sha256 = ["{token_hash("t")}"]\nkinds = ["*"]\nmethods = ["*"]\n'
        )
        log = await self._start(
            f"server-{release}",
            release,
            ["-c", _SERVER],
            JOBS_DATABASE_URL=self._database,
            JOBS_HASH_KEYS=base64.b64encode(b"0" * 32).decode(),
            JOBS_KINDS="saas.jobs.v1.kinds_pb2",
            JOBS_CALLERS_FILE=str(callers),
            JOBS_GRPC_ADDRESS=f"127.0.0.1:{self._ports[f'server-{release}']}",
        )

        async def ready() -> bool:
            return '"ready"' in log.read_text()

        await self._eventually(ready, within=60)

    async def start_worker(self, release: str) -> None:
        """Starts a worker of a release, and waits until it is at work."""
        hold = ["hold"] if release == "old" else []
        await self._start(f"worker-{release}", release, [str(_WORKER), self._database, release, *hold])
        await self._eventually(
            lambda: self.rows("select 1 from headrace.workers where name = %s and beat > 0", release), within=60
        )

    async def stop(self, program: str) -> None:
        """Ends a program by SIGTERM, as a rollout does."""
        process = self._running.pop(program)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 60) == 0

    async def old_worker_holds(self) -> bool:
        """Whether jobs are in flight that the old worker will not end."""
        return bool(await self.rows("select 1 from headrace.jobs where state = 'running' and queue = 'held'"))

    async def all_ran(self) -> bool:
        """Whether everything that was written has run."""
        [row] = await self.rows("select count(*) as jobs from headrace.jobs where state = 'completed'")
        return bool(row["jobs"] == self.written.total())

    def check(self, release: str) -> subprocess.CompletedProcess[str]:
        """What `headrace kinds check` says of a release."""
        variables = {"JOBS_DATABASE_URL": self._database, "JOBS_KINDS": f"{PACKAGE}.kinds_pb2"}
        return subprocess.run(
            [sys.executable, "-c", _CHECK, "kinds", "check", "--json"],
            env={**environment(self._folder / release, os.environ), **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    async def rows(self, query: str, *params: Any) -> list[dict[str, Any]]:
        """What the database returns."""
        async with await psycopg.AsyncConnection.connect(
            self._database, autocommit=True, row_factory=dict_row
        ) as connection:
            cursor = await connection.execute(query, params)
            return await cursor.fetchall() if cursor.description else []

    async def _start(self, program: str, release: str, arguments: list[str], **variables: str) -> Path:
        """Starts a program of a release; returns where it writes to."""
        log = self._folder / f"{program}.log"
        with log.open("wb") as stdout:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *arguments,
                env={**environment(self._folder / release, os.environ), **variables},
                stdout=stdout,
            )
        self._running[program] = process

        async def end() -> None:
            if process.returncode is None:
                process.kill()
                await process.wait()

        self._stack.push_async_callback(end)
        return log


@pytest.fixture
async def rollout(database: str, tmp_path: Path, eventually: Any) -> AsyncIterator[Rollout]:
    """An installation of the old release."""
    async with AsyncExitStack() as stack:
        rollout = Rollout(database, tmp_path, Ports(["server-old", "server-new"], {}), stack, eventually)
        await rollout.begin()
        await rollout.start_server("old")
        await rollout.start_worker("old")
        yield rollout


@asynccontextmanager
async def written_before_and_after(rollout: Rollout) -> AsyncIterator[None]:
    """A step of the rollout, with jobs written on both sides of it."""
    await rollout.write()
    yield
    await rollout.write()


@pytest.mark.parametrize("order", [("server", "worker"), ("worker", "server")], ids=["server first", "worker first"])
async def test_a_rollout_in_any_order_loses_parks_and_spends_nothing(
    rollout: Rollout, order: tuple[str, str], eventually: Any
) -> None:
    await rollout.write()
    await eventually(rollout.old_worker_holds, within=60)
    assert rollout.check("new").returncode == 0
    for program in order:
        async with written_before_and_after(rollout):
            await getattr(rollout, f"start_{program}")("new")
        async with written_before_and_after(rollout):
            await rollout.stop(f"{program}-old")
    await eventually(rollout.all_ran, within=60)

    assert await rollout.rows("select * from outbox where sent_at is null or parked_at is not null") == []
    jobs = await rollout.rows("select * from headrace.jobs")
    assert {(job["state"], job["attempt"], job["deaths"], job["errors"]) for job in jobs} == {("completed", 1, 0, None)}
    ran = await rollout.rows("select job_id, release, kind, version, fields from ran")
    assert len({row["job_id"] for row in ran}) == len(ran) == rollout.written.total()
    seen = Counter((row["release"], row["kind"].removeprefix(f"{PACKAGE}."), row["version"]) for row in ran)
    assert {kind for release, kind, _ in seen if release == "old"} <= {"Grown", "Stepped", "Before"}
    assert sum(count for (_, kind, _), count in seen.items() if kind in {"Before", "After"}) == (
        rollout.written["Before"] + rollout.written["After"]
    )
    # No worker mistook a payload for one of another version, whichever server accepted it.
    assert {(row["version"], *sorted(row["fields"])) for row in ran if row["kind"].endswith("Stepped")} == {
        (1, "euros", "id"),
        (2, "cents", "id"),
    }
    assert ("old", "Stepped", 2) not in seen
    assert {"extra" in row["fields"] for row in ran if row["release"] == "new" and row["kind"].endswith("Grown")} == {
        True,
        False,
    }


async def test_the_check_tells_which_jobs_a_roll_back_would_leave_behind(rollout: Rollout, eventually: Any) -> None:
    await rollout.start_server("new")
    await rollout.stop("server-old")
    await rollout.write()

    async def all_sent() -> bool:
        return not await rollout.rows("select 1 from outbox where sent_at is null")

    await eventually(all_sent, within=60)
    result = rollout.check("old")
    assert result.returncode == 1, result.stderr
    errors = {
        (each["reason"], each["kind"].removeprefix(f"{PACKAGE}."), each["jobs"])
        for each in json.loads(result.stdout)["findings"]
        if each["severity"] == "error"
    }
    assert errors == {("KIND_GONE", "After", 1), ("KIND_GONE", "Added", 1), ("VERSION_UNKNOWN", "Stepped", 1)}
