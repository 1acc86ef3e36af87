"""Handlers in processes of their own: many cores for CPU-heavy work, a timeout that kills, a memory limit that holds.

Prints:
    Factor: completed, [2, 2, 3, 7] by a child of this process: True
    Spin: discarded, timeout
    Hoard: discarded, memory_limit
"""

import asyncio
import os

import psycopg
from process_mode_handlers import Factor, Hoard, Spin, factor, hoard, spin

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, Worker, list_jobs_async, migrate
from headrace.embedded_postgres import EmbeddedPostgres

kinds = Kinds([Factor, Spin, Hoard])
handlers = Handlers(kinds)
handlers.add(Factor, factor, mode="process")
handlers.add(Spin, spin, mode="process")
handlers.add(Hoard, hoard, mode="process", memory_limit=256 * 1024 * 1024)


async def main(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        await Enqueuer(kinds).enqueue_many_async(connection, [NewJob(Factor(84)), NewJob(Spin()), NewJob(Hoard())])
        worker = Worker(dsn, handlers)
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


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
