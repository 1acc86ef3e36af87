"""What happens to jobs can be heard in any process: for a console, a metric, a test.

Prints:
    1: failed in attempt 1
    1: completed in attempt 2
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Enqueuer, Event, EventListener, Handlers, Kinds, NewJob
from headrace.queue import RetryPolicy, RunningJob, EventType, Worker, migrate
from headrace.queue import job_kind
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Charge")
@dataclass
class Charge:
    order: int


async def charge(message: Charge, job: RunningJob) -> None:
    if job.attempt == 1:
        raise TimeoutError("the bank is asleep")


async def main(dsn: str) -> None:
    kinds = Kinds([Charge])
    handlers = Handlers(kinds)
    handlers.add(Charge, charge)
    worker = Worker(dsn, handlers, retry=RetryPolicy(base=timedelta(milliseconds=10)))
    async with EventListener(dsn).listen() as events, asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await Enqueuer(kinds).enqueue_async(connection, NewJob(Charge(order=1)))
        async for event in events:
            match event:
                case Event(what=what, job_id=job_id, attempt=attempt):
                    print(f"{job_id}: {what} in attempt {attempt}")
                    if what is EventType.COMPLETED:
                        break
        worker.stop()


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
