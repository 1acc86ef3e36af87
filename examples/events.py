"""Any process can listen to what happens to jobs: for a dashboard, a metric, a test.

Prints:
    1: failed in attempt 1
    1: completed in attempt 2
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Event, EventListener, EventType, Headrace, RetryPolicy, RunningJob, job_kind

app = Headrace(retry=RetryPolicy(base=timedelta(milliseconds=10)))


@job_kind("shop.Charge")
@dataclass
class Charge:
    order: int


@app.handler
async def charge(payload: Charge, job: RunningJob) -> None:
    if job.attempt == 1:
        raise TimeoutError("the bank does not answer")


async def main(dsn: str) -> None:
    worker = app.worker(dsn)
    async with EventListener(dsn).listen() as events, asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await app.enqueue_async(connection, Charge(order=1))
        async for event in events:
            match event:
                case Event(what=what, job_id=job_id, attempt=attempt):
                    print(f"{job_id}: {what} in attempt {attempt}")
                    if what is EventType.COMPLETED:
                        break
        worker.stop()


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
