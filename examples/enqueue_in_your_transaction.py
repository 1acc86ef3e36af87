"""A job is accepted in your own transaction: it exists exactly if that commits.

Prints:
    order 1: committed, and so was its job
    order 2: rolled back, and its job never existed
    receipts sent: [1]
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.SendReceipt")
@dataclass
class SendReceipt:
    order: int


kinds = Kinds([SendReceipt])
enqueuer = Enqueuer(kinds)
handlers = Handlers(kinds)


async def main(dsn: str) -> None:
    sent: list[int] = []
    done = asyncio.Event()

    async def send_receipt(message: SendReceipt, job: RunningJob) -> None:
        sent.append(message.order)
        done.set()

    handlers.add(SendReceipt, send_receipt)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await connection.execute("create table orders (id int)")
        await connection.execute("insert into orders values (1)")
        await enqueuer.enqueue_async(connection, NewJob(SendReceipt(order=1)))
        await connection.commit()
        print("order 1: committed, and so was its job")
        await connection.execute("insert into orders values (2)")
        await enqueuer.enqueue_async(connection, NewJob(SendReceipt(order=2)))
        await connection.rollback()
        print("order 2: rolled back, and its job never existed")

    worker = Worker(dsn, handlers)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()
    print(f"receipts sent: {sent}")


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
