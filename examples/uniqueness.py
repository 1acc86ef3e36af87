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

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Unique, Worker, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Sync")
@dataclass
class Sync:
    account: int
    reason: str


kinds = Kinds([Sync])
handlers = Handlers(kinds)


async def enqueue(dsn: str, account: int, reason: str) -> str:
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        job = NewJob(Sync(account, reason), unique=Unique(by=("account",)))  # period=… would count finished ones, too
        accepted = await Enqueuer(kinds).enqueue_async(connection, job)
        number = "job 1" if accepted.job_id == 1 else "another job"
        return f"{number}, a duplicate" if accepted.duplicate else number


async def main(dsn: str) -> None:
    print("account 1:", await enqueue(dsn, 1, "a login"))
    print("account 1:", await enqueue(dsn, 1, "an order"))
    print("account 2:", await enqueue(dsn, 2, "a login"))
    done = asyncio.Event()

    async def sync(message: Sync, job: RunningJob) -> None:
        if message.account == 1:
            done.set()

    handlers.add(Sync, sync)
    worker = Worker(dsn, handlers)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()
    print("account 1, after job 1 has ended:", await enqueue(dsn, 1, "a login"))


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
