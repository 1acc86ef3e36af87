"""A job that can't be done yet is put off. That is no failure: no attempt is spent, and no error is kept.

Prints:
    not printed yet, look again soon
    not printed yet, look again soon
    parcel 1 is on its way: attempt 1, 0 errors
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Snooze, Worker
from headrace.queue import get_job_async, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Ship")
@dataclass
class Ship:
    parcel: int


async def main(dsn: str) -> None:
    done = asyncio.Event()

    async def ship(message: Ship, job: RunningJob) -> Snooze | None:
        if job.lease < 3:  # lease counts how often the job was handed out; attempt stands still meanwhile
            print("not printed yet, look again soon")
            return Snooze(timedelta(milliseconds=50))
        done.set()
        return None

    kinds = Kinds([Ship])
    handlers = Handlers(kinds)
    handlers.add(Ship, ship)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        accepted = await Enqueuer(kinds).enqueue_async(connection, NewJob(Ship(parcel=1)))
        worker = Worker(dsn, handlers)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await done.wait()
            worker.stop()
        job = await get_job_async(connection, accepted.job_id)
        print(f"parcel 1 is on its way: attempt {job.attempt}, {len(job.errors)} errors")


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
