"""`mypy --strict` passes on a user's programs, with what is installed alone, and finds their mistakes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.packaging.conftest import MakeEnvironment
from tests.packaging.environments import CLIENT, ENGINE, PYTHONS, ROOT, Environment

pytestmark = pytest.mark.dist
README = ROOT / "libs/queue/README.md"
BLOCK = re.compile(r"^```\w+ (?P<name>\S+)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE)

CLIENT_PROGRAM = """
from datetime import timedelta

from google.protobuf.wrappers_pb2 import StringValue

from headrace.client import AsyncJobsClient, JobsClient, JobsError, NewJob
from headrace.jobs.v1.job_pb2 import JOB_STATE_COMPLETED, Job
from headrace.jobs.v1.options_pb2 import JobOptions
from headrace.jobs.v1.jobs_service_pb2 import PauseQueueRequest, PauseQueueResponse


def enqueue(jobs: JobsClient) -> bool:
    job: Job = jobs.wait(jobs.enqueue(StringValue(value="17"), priority=1).job_id, timeout=timedelta(minutes=1))
    jobs.call(PauseQueueRequest(queue="email"), PauseQueueResponse)
    return job.state == JOB_STATE_COMPLETED


async def enqueue_many(jobs: AsyncJobsClient) -> list[str]:
    results = await jobs.enqueue_many([NewJob(StringValue(value="17"))])
    return [str(each) if isinstance(each, JobsError) else each.job_id for each in results]


options = JobOptions(queue="email")
"""
SETTING = """
from dataclasses import dataclass

import psycopg
from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, job_kind, run_worker


@job_kind("shop.Greet")
@dataclass
class Greet:
    name: str


@job_kind("shop.Leave")
@dataclass
class Leave:
    name: str


def greet(message: Greet, job: RunningJob) -> None: ...
def without_job(message: Greet) -> None: ...
def swapped(job: RunningJob, message: Greet) -> None: ...
def wrong_result(message: Greet, job: RunningJob) -> int: return 1


handlers = Handlers(Kinds([Greet, Leave]))
enqueuer = Enqueuer(handlers.kinds)


async def program(connection: psycopg.Connection, other: psycopg.AsyncConnection, job: NewJob, dsn: str) -> None:
    # the right forms
    handlers.add(Greet, greet)
    enqueuer.enqueue(connection, NewJob(Greet("Ada"), priority=1))
    await enqueuer.enqueue_async(other, job)
"""
MISTAKES = {
    "the handler of another kind": "handlers.add(Leave, greet)",
    "a handler without the job": "handlers.add(Greet, without_job)",
    "a handler with swapped parameters": "handlers.add(Greet, swapped)",
    "a handler with a wrong result": "handlers.add(Greet, wrong_result)",
    "a time as text": 'NewJob(Greet("Ada"), run_at="tomorrow")',
    "a priority as text": 'NewJob(Greet("Ada"), priority="high")',
    "a timeout as a number": 'NewJob(Greet("Ada"), timeout=30)',
    "an option that there isn't": 'NewJob(Greet("Ada"), queues="email")',
    "one job for many": "enqueuer.enqueue_many(connection, job)",
    "an error taken for a result": "enqueuer.enqueue_many(connection, [job])[0].job_id",
    "a forgotten await": "enqueuer.enqueue_async(other, job)",
    "swapped arguments": "run_worker(handlers, dsn)",
    "a field that there isn't": 'Greet(nam="Ada")',
}


@pytest.fixture(scope="module")
def environment(new_environment: MakeEnvironment) -> Environment:
    """One with the engine without SQLAlchemy, the client and mypy."""
    return new_environment(PYTHONS[0]).install(f"{ENGINE}[embedded]", CLIENT, "mypy", "types-protobuf")


def mypy(environment: Environment, folder: Path) -> str:
    """What `mypy --strict` says of the programs in a folder."""
    return environment.command("mypy", "--strict", "--no-error-summary", *sorted(folder.glob("*.py"))).stdout


def test_the_quickstart_passes(environment: Environment, tmp_path: Path) -> None:
    blocks = {match["name"]: match["text"] for match in BLOCK.finditer(README.read_text())}
    (tmp_path / "quickstart.py").write_text(blocks["quickstart.py"])
    assert mypy(environment, tmp_path) == ""


def test_a_program_of_the_client_passes(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(CLIENT_PROGRAM)
    assert mypy(environment, tmp_path) == ""


def test_mistakes_are_found(environment: Environment, tmp_path: Path) -> None:
    (tmp_path / "right.py").write_text(SETTING)
    for place, line in enumerate(MISTAKES.values()):
        (tmp_path / f"wrong_{place}.py").write_text(f"{SETTING}    {line}\n")
    found = {Path(line.partition(":")[0]).stem for line in mypy(environment, tmp_path).splitlines()}
    assert "right" not in found
    missed = [what for place, what in enumerate(MISTAKES) if f"wrong_{place}" not in found]
    assert missed == []
