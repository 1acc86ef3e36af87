"""A job that can't be done yet is snoozed. That is not a failure: it costs no attempt and leaves no error.

Prints:
    not printed yet, check again soon
    not printed yet, check again soon
    parcel 1 is on its way: attempt 1, 0 errors
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Headrace, RunningJob, Snooze, get_job_async, job_kind

app = Headrace()


@job_kind("shop.Ship")
@dataclass
class Ship:
    parcel: int


async def main(dsn: str) -> None:
    done = asyncio.Event()

    @app.handler
    async def ship(payload: Ship, job: RunningJob) -> Snooze | None:
        if job.lease < 3:  # lease counts how often the job was claimed; attempt stays the same meanwhile
            print("not printed yet, check again soon")
            return Snooze(timedelta(milliseconds=50))
        done.set()
        return None

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        enqueued = await app.enqueue_async(connection, Ship(parcel=1))
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await done.wait()
            worker.stop()
        job = await get_job_async(connection, enqueued.job_id)
        print(f"parcel 1 is on its way: attempt {job.attempt}, {len(job.errors)} errors")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
