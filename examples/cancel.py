"""A waiting job is cancelled at once. A running one is told to stop, and an `async def` handler is interrupted.

Prints:
    waiting job: cancelled
    running job: interrupted
    running job: cancelled
"""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Headrace, RunningJob, cancel_job_async, get_job_async, job_kind

app = Headrace()


@job_kind("video.Transcode")
@dataclass
class Transcode:
    video: int


async def main(dsn: str) -> None:
    begun = asyncio.Event()
    interrupted = asyncio.Event()

    @app.handler
    async def transcode(payload: Transcode, job: RunningJob) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()  # for ever
        except asyncio.CancelledError:  # a plain function in a thread checks job.stopping instead
            print("running job: interrupted")
            interrupted.set()
            raise

    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        waiting = await app.enqueue_async(connection, Transcode(1), run_after=timedelta(days=1))
        print("waiting job:", (await cancel_job_async(connection, waiting.job_id)).state)

        running = await app.enqueue_async(connection, Transcode(2))
        worker = app.worker(dsn)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await begun.wait()
            await cancel_job_async(connection, running.job_id)
            await interrupted.wait()
            worker.stop()
        print("running job:", (await get_job_async(connection, running.job_id)).state)


with app.embedded_postgres() as dsn:
    asyncio.run(main(dsn))
