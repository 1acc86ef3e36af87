"""The reference of the contract (docs/reference.md): its examples work, and it names every reason of an error."""

import asyncio
import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from headrace.jobs.v1 import jobs_service_pb2
from jobs_service.server import JobsServer

ROOT = Path(__file__).resolve().parents[3]
REFERENCE = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
TOOLS = f"{ROOT / '.tools/bin'}{os.pathsep}{os.environ['PATH']}"
METHODS = [method.name for method in jobs_service_pb2.DESCRIPTOR.services_by_name["JobsService"].methods]
_RAISED = re.compile(r'(?:error_info|too_large|JobNotActionable)\(\s*(?:job, )?"([A-Z_]+)"')


def examples() -> Iterator[str]:
    """The commands of the page, in its order."""
    for block in re.findall(r"^```sh\n(.*?)^```$", REFERENCE, re.DOTALL | re.MULTILINE):
        yield from (line for line in block.splitlines() if line.startswith("grpcurl"))


def test_every_method_has_an_example() -> None:
    called = [line.rpartition("/")[2] for line in examples() if "-d" in line or line.endswith(tuple(METHODS))]
    assert called == METHODS


@pytest.mark.skipif(shutil.which("grpcurl", path=TOOLS) is None, reason="grpcurl is not there: make grpcurl")
async def test_every_example_works_with_the_real_grpcurl(jobs_server: JobsServer) -> None:
    environment = {
        "PATH": TOOLS,
        "JOBS": f"127.0.0.1:{jobs_server.port}",
        "TOKEN": "api-token",
    }
    for line in examples():
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", line), env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        said, wrong = await asyncio.wait_for(process.communicate(), 30)
        assert process.returncode == 0, f"{line}\n{wrong.decode()}"
        if "/" in line.split()[-1]:
            json.loads(said)


def test_every_reason_that_is_given_is_explained_and_no_other() -> None:
    sources = [
        *(ROOT / "services/jobs/src").rglob("*.py"),
        *(ROOT / "libs/chassis/src").rglob("*.py"),
        ROOT / "libs/queue/src/headrace/queue/control.py",
    ]
    given = {reason for file in sources for reason in _RAISED.findall(file.read_text(encoding="utf-8"))}
    explained = re.findall(r"^\| `[A-Z_]+` \| `([A-Z_]+)` \|", REFERENCE, re.MULTILINE)
    assert sorted(explained) == sorted(given)
