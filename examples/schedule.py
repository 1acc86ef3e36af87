"""A job can wait for its time, or for a while.

Prints:
    now: scheduled, scheduled
    ran when it was due: True
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, get_job_async, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Remind")
@dataclass
class Remind:
    cart: int


kinds = Kinds([Remind])
enqueuer = Enqueuer(kinds)


async def main(dsn: str) -> None:
    run_at = datetime.now(UTC) + timedelta(milliseconds=500)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        accepted = await enqueuer.enqueue_async(connection, NewJob(Remind(cart=1), run_at=run_at))
        later = await enqueuer.enqueue_async(connection, NewJob(Remind(cart=2), run_after=timedelta(hours=1)))
        states = [(await get_job_async(connection, each.job_id)).state for each in (accepted, later)]
        print("now:", ", ".join(states))

    ran_at = asyncio.get_running_loop().create_future()

    async def remind(message: Remind, job: RunningJob) -> None:
        ran_at.set_result(datetime.now(UTC))

    handlers = Handlers(kinds)
    handlers.add(Remind, remind)
    worker = Worker(dsn, handlers)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        print("ran when it was due:", await ran_at >= run_at)
        worker.stop()


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
