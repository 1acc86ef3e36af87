"""A queue, a kind, or everything can be paused: none of it is claimed until it is resumed. Running jobs finish.

Prints:
    paused by Ada: queue mail
    while it is paused: report
    resumed: mail
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, RunningJob, job_kind
from headrace.queue import list_pauses_async, pause_queue_async, resume_queue_async  # also pause_kind, pause_all

app = Headrace()


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

    @app.handler
    async def run(payload: Mail | Report, job: RunningJob) -> None:
        await ran.put("mail" if isinstance(payload, Mail) else "report")

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await pause_queue_async(connection, "mail", by="Ada")
        [pause] = await list_pauses_async(connection)
        print(f"paused by {pause.paused_by}: {pause.what} {pause.name}")

        await app.enqueue_many_async(connection, [Mail(), Report()])
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            print("while it is paused:", await ran.get())
            await resume_queue_async(connection, "mail")
            print("resumed:", await ran.get())
            worker.stop()


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
