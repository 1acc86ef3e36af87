"""A job is enqueued in your own transaction: it exists exactly if that commits.

Prints:
    order 1: committed, and its job with it
    order 2: rolled back, and its job with it
    receipts sent: [1]
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, RunningJob, job_kind

app = Headrace()


@job_kind("shop.SendReceipt")
@dataclass
class SendReceipt:
    order: int


async def main(dsn: str) -> None:
    sent: list[int] = []
    done = asyncio.Event()

    @app.handler
    async def send_receipt(payload: SendReceipt, job: RunningJob) -> None:
        sent.append(payload.order)
        done.set()

    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("create table orders (id int)")
        await connection.execute("insert into orders values (1)")
        await app.enqueue_async(connection, SendReceipt(order=1))
        await connection.commit()
        print("order 1: committed, and its job with it")
        await connection.execute("insert into orders values (2)")
        await app.enqueue_async(connection, SendReceipt(order=2))
        await connection.rollback()
        print("order 2: rolled back, and its job with it")

    worker = app.worker(dsn)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()
    print(f"receipts sent: {sent}")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
