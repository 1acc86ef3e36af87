"""Handlers in separate processes: many cores for CPU-heavy work, a timeout that kills, a memory limit that holds.

Prints:
    Factor: completed, [2, 2, 3, 7] by a child of this process: True
    Spin: discarded, timeout
    Hoard: discarded, memory_limit
"""

import asyncio
import os

import psycopg
from process_mode_handlers import Factor, Hoard, Spin, app

from headrace.queue import list_jobs_async


async def main(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await app.enqueue_many_async(connection, [Factor(84), Spin(), Hoard()])
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            while not all(job.finished_at for job in await list_jobs_async(connection)):
                await asyncio.sleep(0.1)
            worker.stop()
        *others, done = await list_jobs_async(connection)  # newest first
        ours = done.output["parent"] == os.getpid()
        print(f"Factor: {done.state}, {done.output['factors']} by a child of this process: {ours}")
        for name, job in zip(("Spin", "Hoard"), reversed(others), strict=True):
            print(f"{name}: {job.state}, {job.errors[0].type}")


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
