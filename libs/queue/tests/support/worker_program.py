"""A worker as a separate process, so that a test can kill and stop it.

    python worker_program.py DSN

Runs jobs of the kind Greet. Every attempt is noted in the table `attempts` by a connection of the handler's own. What
it does then, the payload's name says: "hold" waits until the table `gate` has a row, "block 3" blocks the event loop
for three seconds, anything else returns at once.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
from engine_kinds import FILE, TestKinds

from headrace.queue import Handlers, Kinds, RetryPolicy, RunningJob, Worker, WorkerSettings


async def gate_is_open(dsn: str) -> bool:
    """Whether the table `gate` has a row; a database that is away has none."""
    with suppress(psycopg.Error):
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, connect_timeout=2) as connection:
            return await (await connection.execute("select from gate")).fetchone() is not None
    return False


async def main(dsn: str) -> None:
    """Works until it is ended."""

    async def greet(message: Any, job: RunningJob) -> None:
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute(
                "insert into attempts (job_id, attempt, lease, pid) values (%s, %s, %s, %s)",
                (job.id, job.attempt, job.lease, os.getpid()),
            )
        match message.name.split():
            case ["hold"]:
                while not await gate_is_open(dsn):  # noqa: ASYNC110  (the gate is in the database)
                    await asyncio.sleep(0.05)
            case ["block", seconds]:
                time.sleep(float(seconds))  # noqa: ASYNC251  (the fault to be shown)

    handlers = Handlers(Kinds.of_file(FILE))
    handlers.add(TestKinds.Greet, greet)
    worker = Worker(
        dsn,
        handlers,
        settings=WorkerSettings(name=f"process:{os.getpid()}", poll_interval=timedelta(seconds=0.5)),
        retry=RetryPolicy(base=timedelta(milliseconds=10)),
    )
    await worker.run()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
