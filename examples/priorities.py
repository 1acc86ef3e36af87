"""Within a queue jobs run by priority, 1 (first) to 4 (last), then in the order in which they became available.

Low priorities don't starve in a queue that never empties: now and then one of them runs first.

Prints:
    urgent
    normal, first
    normal, second
    whenever
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, NewJob, RunningJob, WorkerSettings, job_kind

app = Headrace(settings=WorkerSettings(slots=1))


@job_kind("office.Note")
@dataclass
class Note:
    text: str


async def main(dsn: str) -> None:
    done = asyncio.Event()

    @app.handler
    async def note(payload: Note, job: RunningJob) -> None:
        print(payload.text)
        if payload.text == "whenever":
            done.set()

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        jobs = [
            NewJob(Note("whenever"), priority=4),
            Note("normal, first"),
            Note("normal, second"),
            NewJob(Note("urgent"), priority=1),
        ]
        await app.enqueue_many_async(connection, jobs)

    worker = app.worker(dsn)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
