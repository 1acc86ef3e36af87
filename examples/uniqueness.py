"""A job can be unique by fields of its payload: while one like it is unfinished, another one is a duplicate of it.

Prints:
    account 1: job 1
    account 1: job 1, a duplicate
    account 2: another job
    account 1, after job 1 has ended: another job
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, RunningJob, Unique, job_kind

app = Headrace()


@job_kind("shop.Sync")
@dataclass
class Sync:
    account: int
    reason: str


async def enqueue(dsn: str, account: int, reason: str) -> str:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        # Unique(…, period=…) would count finished ones, too.
        enqueued = await app.enqueue_async(connection, Sync(account, reason), unique=Unique(by=("account",)))
        number = "job 1" if enqueued.job_id == 1 else "another job"
        return f"{number}, a duplicate" if enqueued.duplicate else number


async def main(dsn: str) -> None:
    done = asyncio.Event()

    @app.handler
    async def sync(payload: Sync, job: RunningJob) -> None:
        if payload.account == 1:
            done.set()

    print("account 1:", await enqueue(dsn, 1, "a login"))
    print("account 1:", await enqueue(dsn, 1, "an order"))
    print("account 2:", await enqueue(dsn, 2, "a login"))
    worker = app.worker(dsn)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()
    print("account 1, after job 1 has ended:", await enqueue(dsn, 1, "a login"))


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
