"""Jobs that come back, by cron or at an interval: exactly one job per tick, with any number of workers.

Prints:
    the first tick was made by one of 2 workers
    ticks are whole seconds apart: True
    paused by Ada: no next run
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from headrace.queue import Handlers, Kinds, MissedTicks, Periodic, RunningJob, Worker
from headrace.queue import job_kind, migrate, pause_periodic_async
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.CloseDay")
@dataclass
class CloseDay:
    pass


async def main(dsn: str) -> None:
    ticks: asyncio.Queue[datetime] = asyncio.Queue()

    async def close_day(message: CloseDay, job: RunningJob) -> None:
        assert job.scheduled_at is not None
        await ticks.put(job.scheduled_at)

    kinds = Kinds([CloseDay])
    handlers = Handlers(kinds)
    handlers.add(CloseDay, close_day)
    # In life "0 30 23 * * *" for half past eleven at night; here every second.
    cron = Periodic(
        "close-day", payload=CloseDay(), cron="* * * * * *", time_zone="Europe/Berlin", missed=MissedTicks.ONE
    )
    workers = [Worker(dsn, handlers, periodic=[cron]) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())
        first, second = await ticks.get(), await ticks.get()
        print(f"the first tick was made by one of {len(workers)} workers")
        print(
            "ticks are whole seconds apart:", (second - first) % timedelta(seconds=1) == timedelta(0) < second - first
        )
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            paused = await pause_periodic_async(connection, "close-day", by="Ada")
            print(f"paused by {paused.paused_by}: {'no next run' if not paused.next_runs else paused.next_runs}")
        for worker in workers:
            worker.stop()


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
