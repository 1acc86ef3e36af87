"""A worker of one release: runs jobs of every kind that its .proto file has, and notes in the table `ran` what it saw.

    python rollout_worker.py <database> <release> [hold]

With `hold` it never ends a job of the kind Held by itself: only its drain does.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from datetime import timedelta
from typing import Any

import psycopg

from headrace.queue import Handlers, Kinds, RunningJob, Worker, WorkerSettings
from saas.jobs.v1 import kinds_pb2

NOTE = "insert into ran (job_id, release, kind, version, fields) values (%s, %s, %s, %s, %s)"


async def work(database: str, release: str, *, hold: bool) -> None:
    """Works until SIGTERM."""
    kinds = Kinds.of_file(kinds_pb2.DESCRIPTOR)
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as connection:

        async def handle(message: Any, job: RunningJob) -> None:
            if hold and message.DESCRIPTOR.name == "Held":
                await asyncio.Event().wait()
            fields = json.dumps({field.name: value for field, value in message.ListFields()})
            await connection.execute(NOTE, (job.id, release, job.kind.name, job.version, fields))

        handlers = Handlers(kinds)
        for kind in kinds:
            handlers.add(kind.message_class, handle)
        settings = WorkerSettings(name=release, drain_timeout=timedelta(milliseconds=200))
        worker = Worker(database, handlers, settings=settings)
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
        await worker.run()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], hold="hold" in sys.argv[3:]))
