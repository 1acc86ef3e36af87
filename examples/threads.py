"""A plain function runs in a thread, so blocking calls hold nobody up. At its timeout it is told, and should look.

Prints:
    in the thread headrace-job
    told to stop: timeout
    then: discarded, timeout
"""

import asyncio
import threading
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, get_job_async, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("office.Scan", timeout=timedelta(milliseconds=100), max_retries=0)
@dataclass
class Scan:
    pages: int


stopped = threading.Event()


def scan(message: Scan, job: RunningJob) -> None:
    print("in the thread", threading.current_thread().name)
    # A page at a time; a thread can't be interrupted from outside. One that leaves work undone at a drain would raise.
    while not job.stopping.wait(timeout=0.05):
        pass
    assert job.stop_reason is not None
    print("told to stop:", job.stop_reason.value)
    stopped.set()


async def main(dsn: str) -> None:
    kinds = Kinds([Scan])
    handlers = Handlers(kinds)
    handlers.add(Scan, scan)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        accepted = await Enqueuer(kinds).enqueue_async(connection, NewJob(Scan(pages=1000)))
        worker = Worker(dsn, handlers)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await asyncio.to_thread(stopped.wait)
            worker.stop()
        job = await get_job_async(connection, accepted.job_id)
        print(f"then: {job.state}, {job.errors[0].type}")


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
