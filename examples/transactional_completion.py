"""A handler whose effects are in the same database completes its job in their transaction: exactly once.

Here the first attempt fails after its effect: both are rolled back. The second one commits both.

Prints:
    balance: 10, attempts: 2, job: completed
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Headrace, RetryPolicy, RunningJob, get_job_async, job_kind

app = Headrace(retry=RetryPolicy(base=timedelta(milliseconds=10)))


@job_kind("bank.Deposit")
@dataclass
class Deposit:
    amount: int


async def main(dsn: str) -> None:
    done = asyncio.Event()

    @app.handler
    async def deposit(payload: Deposit, job: RunningJob) -> None:
        async with await psycopg.AsyncConnection.connect(dsn) as connection:
            await connection.execute("update account set balance = balance + %s", [payload.amount])
            if job.attempt == 1:
                raise ConnectionError("the till is jammed")
            await job.complete_in_async(connection)  # raises LeaseLostError if this attempt no longer counts
        done.set()

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute("create table account as select 0 as balance")
        enqueued = await app.enqueue_async(connection, Deposit(10))
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await done.wait()
            worker.stop()
        row = await (await connection.execute("select balance from account")).fetchone()
        assert row is not None
        job = await get_job_async(connection, enqueued.job_id)
        print(f"balance: {row[0]}, attempts: {job.attempt}, job: {job.state}")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
