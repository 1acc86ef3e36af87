"""A queue, a kind, or everything can be paused: nothing of it is claimed until it is resumed. Running jobs finish.

Prints:
    paused by Ada: queue mail
    while it is paused: report
    resumed: mail
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, job_kind, migrate
from headrace.queue import list_pauses_async, pause_queue_async, resume_queue_async  # also pause_kind, pause_all
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Mail", queue="mail")
@dataclass
class Mail:
    pass


@job_kind("shop.Report", queue="reports")
@dataclass
class Report:
    pass


async def main(dsn: str) -> None:
    ran: asyncio.Queue[str] = asyncio.Queue()

    async def run(message: Mail | Report, job: RunningJob) -> None:
        await ran.put("mail" if isinstance(message, Mail) else "report")

    kinds = Kinds([Mail, Report])
    handlers = Handlers(kinds)
    handlers.add(Mail, run)
    handlers.add(Report, run)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await pause_queue_async(connection, "mail", by="Ada")
        [pause] = await list_pauses_async(connection)
        print(f"paused by {pause.paused_by}: {pause.what} {pause.name}")

        await Enqueuer(kinds).enqueue_many_async(connection, [NewJob(Mail()), NewJob(Report())])
        worker = Worker(dsn, handlers)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            print("while it is paused:", await ran.get())
            await resume_queue_async(connection, "mail")
            print("resumed:", await ran.get())
            worker.stop()


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
