"""Within a queue the order is priority, 1 (first) to 4 (last), then when a job came into line.

A line that never empties does not starve its lower priorities: now and then one of them goes first.

Prints:
    urgent
    normal, first
    normal, second
    whenever
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, WorkerSettings, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("office.Note")
@dataclass
class Note:
    text: str


kinds = Kinds([Note])
enqueuer = Enqueuer(kinds)


async def main(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        jobs = [
            NewJob(Note("whenever"), priority=4),
            NewJob(Note("normal, first")),
            NewJob(Note("normal, second")),
            NewJob(Note("urgent"), priority=1),
        ]
        await enqueuer.enqueue_many_async(connection, jobs)

    done = asyncio.Event()

    async def note(message: Note, job: RunningJob) -> None:
        print(message.text)
        if message.text == "whenever":
            done.set()

    handlers = Handlers(kinds)
    handlers.add(Note, note)
    worker = Worker(dsn, handlers, settings=WorkerSettings(slots=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
