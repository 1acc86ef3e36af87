"""The reference of the contract (docs/reference.md): its examples work, and it names every reason of an error."""

import asyncio
import json
import os
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

import psycopg
import pytest
from google.protobuf import json_format
from jobs_server_fixtures import ClientOf, Serve
from psycopg import sql

from headrace.jobs.v1 import jobs_service_pb2
from headrace.queue.db.migrate import up
from jobs_service.server.program import JobsServer

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
METHODS = [method.name for method in jobs_service_pb2.DESCRIPTOR.services_by_name["JobsService"].methods]
_RAISED = re.compile(r'(?:error_info|too_large|JobNotActionableError)\(\s*(?:job, )?"([A-Z_]+)"')


def examples() -> Iterator[str]:
    """The commands of the page, in its order."""
    for block in re.findall(r"^```sh\n(.*?)^```$", REFERENCE, re.DOTALL | re.MULTILINE):
        yield from (line for line in block.splitlines() if line.startswith("grpcurl"))


def test_every_method_has_an_example() -> None:
    called = [call.rpartition("/")[2] for call in examples() if "-d" in call or call.endswith(tuple(METHODS))]
    assert called == METHODS


@pytest.mark.full
async def test_every_example_works_with_the_real_grpcurl(jobs_server: JobsServer) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "JOBS": f"127.0.0.1:{jobs_server.port}",
        "TOKEN": "api-token",
    }
    for command in examples():
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, wrong = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, f"{command}\n{wrong.decode()}"
        if "/" in command.split()[-1]:
            json.loads(said)


@pytest.fixture
def as_the_servers_role(database: str) -> Iterator[str]:
    """The URL of a database in which the server's role has what migrations grant it, and nothing more."""
    role = f"test_server_{uuid4().hex[:12]}"
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(sql.SQL("create role {}").format(sql.Identifier(role)))
        up(database, grants={"server": role})
        yield f"{database}?options={quote(f'-c role={role}')}"
        owner.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))


async def test_every_example_works_with_the_servers_role(
    as_the_servers_role: str, serve: Serve, client_of: ClientOf
) -> None:
    calls = tomllib.loads((ROOT / "docs/reference_calls.toml").read_text(encoding="utf-8"))
    async with serve(as_the_servers_role, migrate=False) as server, client_of(server) as jobs:
        for method, sent in calls.items():
            request = getattr(jobs_service_pb2, f"{method}Request")()
            await getattr(jobs, method)(json_format.Parse(sent, request))


def test_every_reason_that_is_given_is_explained_and_no_other() -> None:
    sources = [
        *(ROOT / "services/jobs/src").rglob("*.py"),
        *(ROOT / "libs/chassis/src").rglob("*.py"),
        *(ROOT / "libs/queue/src/headrace/queue/control").glob("*.py"),
    ]
    given = {reason for file in sources for reason in _RAISED.findall(file.read_text(encoding="utf-8"))}
    explained = re.findall(r"^\| `[A-Z_]+` \| `([A-Z_]+)` \|", REFERENCE, re.MULTILINE)
    assert sorted(explained) == sorted(given)
