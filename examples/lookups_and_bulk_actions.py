"""Jobs are counted, and listed by state, kind, queue, tag or time, page by page; what is listed can be acted upon.

Prints:
    counts: {'bulk': {'available': 5}, 'default': {'available': 2}}
    page: [7, 5]
    next page: [3, 1]
    dry run: 2 of customer 7 would be cancelled
    cancelled: 2
    counts: {'bulk': {'available': 3, 'cancelled': 2}, 'default': {'available': 2}}
"""

import asyncio
from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueuer, JobFilter, JobState, Kinds, NewJob
from headrace.queue import cancel_jobs_async, count_jobs_async, job_kind, list_jobs_async, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Mail")
@dataclass
class Mail:
    number: int


async def print_counts(connection: psycopg.AsyncConnection) -> None:
    counts = await count_jobs_async(connection)
    print(
        "counts:", {queue: {str(s): n for s, n in sorted(states.items())} for queue, states in sorted(counts.items())}
    )


async def main(dsn: str) -> None:
    async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
        tags = {1: ["even"], 2: ["customer-7"], 4: ["customer-7"]}
        jobs = [
            NewJob(Mail(n), queue="bulk" if n < 6 else None, tags=["odd"] if n % 2 else tags.get(n, []))
            for n in range(1, 8)
        ]
        await Enqueuer(Kinds([Mail])).enqueue_many_async(connection, jobs)
        await print_counts(connection)

        page = await list_jobs_async(connection, JobFilter(tags=("odd",)), limit=2)
        print("page:", [job.id for job in page])
        page = await list_jobs_async(connection, JobFilter(tags=("odd",)), limit=2, before_id=page.before_id)
        print("next page:", [job.id for job in page])

        wanted = JobFilter(states=(JobState.AVAILABLE,), tags=("customer-7",))
        dry = await cancel_jobs_async(connection, wanted, dry_run=True)
        print(f"dry run: {dry.matched} of customer 7 would be cancelled")
        print("cancelled:", (await cancel_jobs_async(connection, wanted)).changed)  # also retry_jobs, delete_jobs
        await print_counts(connection)


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    asyncio.run(main(server.dsn()))
