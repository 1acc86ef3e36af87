"""A type checker tells right connections from wrong ones, also in a program that has no SQLAlchemy to look at."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
# What is skipped is of type Any, like what can't be found.
CONFIG = """
[mypy]
strict = True
mypy_path = {root}/libs/queue/src
namespace_packages = True
explicit_package_bases = True
follow_imports = silent

[mypy-sqlalchemy.*]
follow_imports = skip
ignore_missing_imports = True
"""
PROGRAM = """
import psycopg
from typing import Any
from headrace.queue import Enqueuer, Job, JobFilter, NewJob, RunningJob, cancel_jobs_async, get_job, get_job_async


def blocking(connection: psycopg.Connection[Any], other: psycopg.AsyncConnection[Any], enqueuer: Enqueuer) -> Job:
    job_id = enqueuer.enqueue(connection, NewJob(object())).job_id
    enqueuer.enqueue(other, NewJob(object()))  # arg-type
    enqueuer.enqueue_many_fast(42, [])  # arg-type
    get_job(other, job_id)  # arg-type
    get_job(None, job_id)  # arg-type
    get_job(connection, str(job_id))  # arg-type
    get_job(connection, job_id, scheme="other")  # call-arg
    number: int = get_job(connection, job_id)  # assignment
    return get_job(connection, job_id, schema="other")


async def handler(connection: psycopg.AsyncConnection[Any], other: psycopg.Connection[Any], job: RunningJob) -> Job:
    await cancel_jobs_async(connection, JobFilter(queues=("email",)), dry_run=True)
    await cancel_jobs_async(other, JobFilter(queues=("email",)))  # arg-type
    await job.complete_in_async(other)  # arg-type
    job.complete_in(connection)  # arg-type
    get_job_async(connection, 17)  # unused-coroutine
    return await get_job_async(connection, 17)


async def from_the_newcomer(enqueuer: Enqueuer, job: NewJob) -> None:
    await enqueuer.enqueue_async(42, job)  # arg-type
"""


def test_wrong_connections_are_found_without_sqlalchemy(tmp_path: Path) -> None:
    (tmp_path / "mypy.ini").write_text(CONFIG.format(root=ROOT))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    # The engine's own types are kept from run to run.
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(ROOT / ".mypy_cache" / "user_programs"), str(program)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    found = {
        (int(line), code)
        for line, code in re.findall(r"program\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    }
    planted = re.compile(r"  # ([\w-]+)$")
    lines = enumerate(PROGRAM.splitlines(), 1)
    assert found == {(number, code[1]) for number, line in lines if (code := planted.search(line))}, done.stdout
