"""A plain function runs in a thread, so it may block. At its timeout it is told to stop, which it should check.

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

from headrace.queue import Headrace, RunningJob, get_job_async, job_kind

app = Headrace()
stopped = threading.Event()


@job_kind("office.Scan", timeout=timedelta(milliseconds=100), max_retries=0)
@dataclass
class Scan:
    pages: int


@app.handler
def scan(payload: Scan, job: RunningJob) -> None:
    print("in the thread", threading.current_thread().name)
    # A page at a time: a thread can't be interrupted from outside. If work is left undone at a drain, raise.
    while not job.stopping.wait(timeout=0.05):
        pass
    assert job.stop_reason is not None
    print("told to stop:", job.stop_reason.value)
    stopped.set()


async def main(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        enqueued = await app.enqueue_async(connection, Scan(pages=1000))
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await asyncio.to_thread(stopped.wait)
            worker.stop()
        job = await get_job_async(connection, enqueued.job_id)
        print(f"then: {job.state}, {job.errors[0].type}")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
