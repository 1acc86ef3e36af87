"""Periodic jobs, by cron or at an interval: exactly one job per tick, with any number of workers.

Prints:
    the first tick was enqueued by one of 2 workers
    ticks are whole seconds apart: True
    paused by Ada: no next run
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg

from headrace.queue import Headrace, MissedTicks, Periodic, RunningJob, job_kind, pause_periodic_async

app = Headrace()


@job_kind("shop.CloseDay")
@dataclass
class CloseDay:
    pass


# In production "30 23 * * *", for half past eleven at night; here every second.
app.periodic(
    Periodic("close-day", payload=CloseDay(), cron="* * * * * *", time_zone="Europe/Berlin", missed=MissedTicks.ONE)
)


async def main(dsn: str) -> None:
    ticks: asyncio.Queue[datetime] = asyncio.Queue()

    @app.handler
    async def close_day(payload: CloseDay, job: RunningJob) -> None:
        assert job.scheduled_at is not None
        await ticks.put(job.scheduled_at)

    workers = [app.worker(dsn) for _ in range(2)]
    async with asyncio.TaskGroup() as group:
        for worker in workers:
            group.create_task(worker.run())
        first, second = await ticks.get(), await ticks.get()
        print(f"the first tick was enqueued by one of {len(workers)} workers")
        whole = (second - first) % timedelta(seconds=1) == timedelta(0) < second - first
        print("ticks are whole seconds apart:", whole)
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            paused = await pause_periodic_async(connection, "close-day", by="Ada")
            print(f"paused by {paused.paused_by}: {'no next run' if not paused.next_runs else paused.next_runs}")
        for worker in workers:
            worker.stop()


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
