"""A handler can say how far it has come, and answer an output that is kept with the job.

Prints:
    progress: 2 of 3
    output: {'rows': 3}
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Done, Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker, get_job_async, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Export")
@dataclass
class Export:
    rows: int


async def main(dsn: str) -> None:
    seen, done = asyncio.Event(), asyncio.Event()

    async def export(message: Export, job: RunningJob) -> Done:
        job.report_progress({"done": 2, "of": message.rows})  # written within about a second
        await seen.wait()
        done.set()
        return Done({"rows": message.rows})

    kinds = Kinds([Export])
    handlers = Handlers(kinds)
    handlers.add(Export, export)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        accepted = await Enqueuer(kinds).enqueue_async(connection, NewJob(Export(rows=3)))
        worker = Worker(dsn, handlers)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            while (job := await get_job_async(connection, accepted.job_id)).progress is None:
                await asyncio.sleep(0.05)
            print(f"progress: {job.progress['done']} of {job.progress['of']}")
            seen.set()
            await done.wait()
            worker.stop()
        print("output:", (await get_job_async(connection, accepted.job_id)).output)


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
