"""A queue can have a limit over all processes, and a share of the slots in each process.

Here two workers have ten slots each. The queue `supplier` runs two jobs at a time, whichever worker runs them.

Prints:
    most at once: 2
    done: 12
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, RunningJob, WorkerSettings, job_kind, limit_queue_async

app = Headrace(settings=WorkerSettings(slots=10, queue_slots={"supplier": 5}))  # the share in each process


@job_kind("stock.Order", queue="supplier")
@dataclass
class Order:
    number: int


async def main(dsn: str) -> None:
    running, most, done = 0, 0, 0
    all_done = asyncio.Event()

    @app.handler
    async def order(payload: Order, job: RunningJob) -> None:
        nonlocal running, most, done
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.02)
        running -= 1
        done += 1
        if done == 12:
            all_done.set()

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await limit_queue_async(connection, "supplier", 2)  # the limit over all processes
        await app.enqueue_many_async(connection, [Order(number) for number in range(12)])

    workers = [app.worker(dsn) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())
        await all_done.wait()
        for worker in workers:
            worker.stop()
    print(f"most at once: {most}\ndone: {done}")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
