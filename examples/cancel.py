"""A waiting job is cancelled at once; a running one is told, and an `async def` handler is interrupted.

Prints:
    waiting job: cancelled
    running job: interrupted
    running job: cancelled
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from headrace.queue import Enqueuer, Handlers, Kinds, NewJob, RunningJob, Worker
from headrace.queue import cancel_job_async, get_job_async, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("video.Transcode")
@dataclass
class Transcode:
    video: int


async def main(dsn: str) -> None:
    begun = asyncio.Event()
    interrupted = asyncio.Event()

    async def transcode(message: Transcode, job: RunningJob) -> None:
        begun.set()
        try:
            await asyncio.Event().wait()  # for ever
        except asyncio.CancelledError:  # a plain function in a thread looks at job.stopping instead
            print("running job: interrupted")
            interrupted.set()
            raise

    kinds = Kinds([Transcode])
    handlers = Handlers(kinds)
    handlers.add(Transcode, transcode)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        waiting = await Enqueuer(kinds).enqueue_async(connection, NewJob(Transcode(1), run_at=tomorrow))
        print("waiting job:", (await cancel_job_async(connection, waiting.job_id)).state)

        running = await Enqueuer(kinds).enqueue_async(connection, NewJob(Transcode(2)))
        worker = Worker(dsn, handlers)
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            await begun.wait()
            await cancel_job_async(connection, running.job_id)
            await interrupted.wait()
            worker.stop()
        print("running job:", (await get_job_async(connection, running.job_id)).state)


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
