"""A handler can report how far it has come, and return an output that is kept with the job.

Prints:
    progress: 2 of 3
    output: {'rows': 3}
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Done, Headrace, RunningJob, get_job_async, job_kind

app = Headrace()


@job_kind("shop.Export")
@dataclass
class Export:
    rows: int


async def main(dsn: str) -> None:
    seen, done = asyncio.Event(), asyncio.Event()

    @app.handler
    async def export(payload: Export, job: RunningJob) -> Done:
        job.report_progress({"done": 2, "of": payload.rows})  # written within about a second
        await seen.wait()
        done.set()
        return Done({"rows": payload.rows})

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        enqueued = await app.enqueue_async(connection, Export(rows=3))
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            while (job := await get_job_async(connection, enqueued.job_id)).progress is None:
                await asyncio.sleep(0.05)
            print(f"progress: {job.progress['done']} of {job.progress['of']}")
            seen.set()
            await done.wait()
            worker.stop()
        print("output:", (await get_job_async(connection, enqueued.job_id)).output)


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
