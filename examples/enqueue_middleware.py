"""Middleware around enqueueing changes what is enqueued, rejects some of it, and sees the results.

Prints:
    enqueued: 1 of 2
    tags: ['tenant-7']
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace

import psycopg

from headrace.queue import Enqueued, EnqueueError, Headrace, NewJob, OptionInvalidError, Violation, job_kind

app = Headrace()


@job_kind("shop.Mail")
@dataclass
class Mail:
    to: str


def tenant(jobs: Sequence[NewJob]) -> Generator[list[NewJob | EnqueueError], list[Enqueued | EnqueueError], None]:
    """Tags every job, and rejects email to the owner. One function for blocking and asynchronous callers."""
    results = yield [
        OptionInvalidError([Violation("to", "must not be the owner")])
        if job.payload.to == "owner"
        else replace(job, tags=[*job.tags, "tenant-7"])
        for job in jobs
    ]
    print(f"enqueued: {sum(isinstance(each, Enqueued) for each in results)} of {len(results)}")


app.kinds(Mail)
app.enqueuer.use(tenant)
with app.embedded_postgres() as dsn, psycopg.connect(dsn) as connection:
    app.enqueuer.enqueue_many(connection, [NewJob(Mail("Ada")), NewJob(Mail("owner"))])
    [(tags,)] = connection.execute("select tags from headrace.jobs")
    print("tags:", tags)
