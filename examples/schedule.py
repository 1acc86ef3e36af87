"""A job can wait until a time, or for a while.

Prints:
    now: scheduled, scheduled
    ran when it was due: True
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from headrace.queue import Headrace, RunningJob, get_job_async, job_kind

app = Headrace()


@job_kind("shop.Remind")
@dataclass
class Remind:
    cart: int


async def main(dsn: str) -> None:
    ran_at = asyncio.get_running_loop().create_future()

    @app.handler
    async def remind(payload: Remind, job: RunningJob) -> None:
        ran_at.set_result(datetime.now(UTC))

    run_at = datetime.now(UTC) + timedelta(milliseconds=500)
    async with await psycopg.AsyncConnection.connect(dsn) as connection:
        enqueued = await app.enqueue_async(connection, Remind(cart=1), run_at=run_at)
        later = await app.enqueue_async(connection, Remind(cart=2), run_after=timedelta(hours=1))
        states = [(await get_job_async(connection, each.job_id)).state for each in (enqueued, later)]
        print("now:", ", ".join(states))

    worker = app.worker(dsn)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        print("ran when it was due:", await ran_at >= run_at)
        worker.stop()


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
