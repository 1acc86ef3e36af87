"""Middleware runs around the handlers of all kinds, or of some: it watches, changes the outcome, or decides it.

Prints:
    Greet ends with Cancel(reason='known')
    Hello, Ada!
    Greet ends with None
"""

import asyncio
from dataclasses import dataclass
from typing import Any

import psycopg

from headrace.queue import Cancel, Headrace, Outcome, RunningJob, WorkerSettings, job_kind

app = Headrace(settings=WorkerSettings(slots=1))


@job_kind("shop.Greet")
@dataclass
class Greet:
    name: str


async def report(payload: object, job: RunningJob, call_next: Any) -> Outcome | None:
    outcome: Outcome | None = await call_next(payload, job)
    print(f"{type(payload).__name__} ends with {outcome}")
    return outcome


async def only_strangers(payload: Greet, job: RunningJob, call_next: Any) -> Outcome | None:
    outcome: Outcome | None = Cancel("known") if payload.name == "Bob" else await call_next(payload, job)
    return outcome


async def main(dsn: str) -> None:
    done = asyncio.Event()

    @app.handler
    async def greet(payload: Greet, job: RunningJob) -> None:
        print(f"Hello, {payload.name}!")
        done.set()

    app.handlers.use(report)  # around every kind, and outermost
    app.handlers.use(only_strangers, Greet)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        await app.enqueue_many_async(connection, [Greet("Bob"), Greet("Ada")])
    worker = app.worker(dsn)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        await done.wait()
        worker.stop()


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
