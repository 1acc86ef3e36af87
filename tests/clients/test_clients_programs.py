"""The example clients in other languages against the real jobs server and a worker: `make test-full` builds them first.

What they print is the same in every language, so that each is held to the same behaviour.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import secrets
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from headrace.chassis.rpc.tokens import token_hash
from headrace.queue import Handlers, Kinds, RunningJob, Worker, WorkerSettings
from headrace.queue.db.migrate import up
from saas.jobs.v1 import kinds_pb2

ROOT = Path(__file__).parents[2]
TOKEN = secrets.token_hex(16)
PROGRAMS: dict[str, tuple[list[str | Path], str]] = {
    "go": ([ROOT / "examples/clients/go/build/client"], "make client-go"),
    "node": (["node", ROOT / "examples/clients/node/client.js"], "make client-node"),
    "python": ([sys.executable, ROOT / "examples/clients/python/client.py"], "make setup"),
}
languages = pytest.mark.parametrize(
    "language", [pytest.param(name, marks=[] if name == "python" else [pytest.mark.full]) for name in PROGRAMS]
)
SAID = re.compile(
    r"""refused \(\w+\): payload\.mail_id: .*UUID.*
enqueued: job (\d+)
enqueued again: job \1, a duplicate
ended: job \1 is completed
"""
)


@pytest.fixture
async def target(database: str, tmp_path: Path) -> AsyncIterator[str]:
    """The program `jobs-server` on the test's database, and a worker whose handler does nothing."""
    await asyncio.to_thread(up, database)
    callers = tmp_path / "callers.toml"
    callers.write_text(
        f'[[callers]]\nname = "example"\ntoken_sha256 = ["{token_hash(TOKEN)}"]\n'
        'kinds = ["saas.jobs.v1.*"]\nmethods = ["Enqueue", "GetJob"]\n'
    )
    variables = {
        "JOBS_DATABASE_URL": database,
        "JOBS_HASH_KEYS": base64.b64encode(secrets.token_bytes(32)).decode(),
        "JOBS_KINDS": "saas.jobs.v1.kinds_pb2",
        "JOBS_CALLERS_FILE": str(callers),
        "JOBS_GRPC_ADDRESS": "127.0.0.1:0",
    }
    async with _worker(database), _server(variables) as address:
        yield address


@asynccontextmanager
async def _server(variables: dict[str, str]) -> AsyncIterator[str]:
    program = shutil.which("jobs-server")
    assert program, "the environment's programs are not on the PATH"
    process = await asyncio.create_subprocess_exec(
        program, env={**os.environ, **variables}, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    try:
        while (line := json.loads(await process.stdout.readline()))["event"] != "listening":
            continue
        yield line["address"]
    finally:
        process.terminate()
        await process.communicate()


@asynccontextmanager
async def _worker(database: str) -> AsyncIterator[None]:
    async def handle(_message: kinds_pb2.SendVerificationEmail, _job: RunningJob) -> None:
        """Nothing to do."""

    handlers = Handlers(Kinds.of_file(kinds_pb2.DESCRIPTOR))
    handlers.add(kinds_pb2.SendVerificationEmail, handle)
    worker = Worker(database, handlers, settings=WorkerSettings(slots=2))
    running = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        worker.stop()
        await running


def program(language: str) -> list[str | Path]:
    """The command line of a client."""
    command, made_by = PROGRAMS[language]
    assert Path(command[-1]).exists(), f"the {language} client is not there: {made_by}"
    return command


@languages
async def test_a_client_enqueues_once_reads_what_is_wrong_and_waits(language: str, target: str) -> None:
    command = program(language)
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "HEADRACE_TARGET": target, "HEADRACE_TOKEN": TOKEN},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    said, complained = await process.communicate()
    assert SAID.fullmatch(said.decode()), f"{said.decode()}\n{complained.decode()}"
    assert process.returncode == 0


@languages
async def test_a_client_says_that_its_token_is_wrong(language: str, target: str) -> None:
    command = program(language)
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "HEADRACE_TARGET": target, "HEADRACE_TOKEN": "stolen"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    _, complained = await process.communicate()
    assert process.returncode == 1
    assert "The token is unknown" in complained.decode()
