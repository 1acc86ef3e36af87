"""A queue can have a limit over all processes, and a share of the slots in each process.

Here two workers have ten slots each; the queue `supplier` runs two jobs at once, whoever runs them.

Prints:
    most at once: 2
    done: 12
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, WorkerSettings
from headrace.queue import limit_queue_async, migrate
from headrace.queue import job_kind
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("stock.Order", queue="supplier")
@dataclass
class Order:
    number: int


async def main(dsn: str) -> None:
    running, most, done = 0, 0, 0
    all_done = asyncio.Event()

    async def order(message: Order, job: RunningJob) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        done += 1
        if done == 12:
            all_done.set()

    kinds = Kinds([Order])
    handlers = Handlers(kinds)
    handlers.add(Order, order)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await limit_queue_async(connection, "supplier", 2)
        await Enqueuer(kinds).enqueue_many_async(connection, [NewJob(Order(number)) for number in range(12)])

    settings = WorkerSettings(slots=10, queue_slots={"supplier": 5})  # the share in each process
    workers = [Worker(dsn, handlers, settings=settings) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())
        await all_done.wait()
        for worker in workers:
            worker.stop()
    print(f"most at once: {most}\ndone: {done}")


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
