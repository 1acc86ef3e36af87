"""Middleware goes around enqueueing, too: it changes what is enqueued, refuses some of it, and sees the answers.

Prints:
    enqueued: 1 of 2
    tags: ['tenant-7']
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import psycopg

from headrace.queue import Enqueued, Enqueuer, Kinds, NewJob, OptionInvalidError
from headrace.queue import EnqueueError, Violation, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Mail")
@dataclass
class Mail:
    to: str


def tenant(jobs: Sequence[NewJob]) -> Generator[list[NewJob | EnqueueError], list[Enqueued | EnqueueError], None]:
    """Tags every job, and lets nobody write to the owner. One function for blocking and asynchronous callers."""
    results = yield [
        OptionInvalidError([Violation("to", "is not to be bothered")])
        if job.payload.to == "owner"
        else replace(job, tags=[*job.tags, "tenant-7"])
        for job in jobs
    ]
    print(f"enqueued: {sum(isinstance(each, Enqueued) for each in results)} of {len(results)}")


enqueuer = Enqueuer(Kinds([Mail]))
enqueuer.use(tenant)
with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    with psycopg.connect(server.dsn()) as connection:
        enqueuer.enqueue_many(connection, [NewJob(Mail("Ada")), NewJob(Mail("owner"))])
        [(tags,)] = connection.execute("select tags from headrace.jobs")
        print("tags:", tags)
