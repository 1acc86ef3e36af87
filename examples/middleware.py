"""Middleware goes around the work of all kinds, or of some: it watches, changes the outcome, or answers itself.

Prints:
    Greet ends with Cancel(reason='known')
    Hello, Ada!
    Greet ends with None
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg

from headrace.queue import Cancel, Enqueuer, Handlers, Kinds, NewJob
from headrace.queue import Outcome, RunningJob, Worker, WorkerSettings, migrate
from headrace.queue import job_kind
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Greet")
@dataclass
class Greet:
    name: str


async def report(message: object, job: RunningJob, call_next: Any) -> Outcome | None:
    outcome: Outcome | None = await call_next(message, job)
    print(f"{type(message).__name__} ends with {outcome}")
    return outcome


async def only_strangers(message: Greet, job: RunningJob, call_next: Any) -> Outcome | None:
    outcome: Outcome | None = Cancel("known") if message.name == "Bob" else await call_next(message, job)
    return outcome


async def main(dsn: str) -> None:
    done = asyncio.Event()

    async def greet(message: Greet, job: RunningJob) -> None:
        print(f"Hello, {message.name}!")
        done.set()

    handlers = Handlers(Kinds([Greet]))
    handlers.add(Greet, greet)
    handlers.use(report)  # around every kind, and outermost
    handlers.use(only_strangers, Greet)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await Enqueuer(handlers.kinds).enqueue_many_async(connection, [NewJob(Greet("Bob")), NewJob(Greet("Ada"))])
    worker = Worker(dsn, handlers, settings=WorkerSettings(slots=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
