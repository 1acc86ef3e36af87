"""Jobs are counted, and listed by state, kind, queue, tag or time, page by page. What is listed can be acted on.

Prints:
    counts: {'bulk': {'available': 5}, 'default': {'available': 2}}
    page: [7, 5]
    next page: [3, 1]
    dry run: 2 of customer 7 would be cancelled
    cancelled: 2
    counts: {'bulk': {'available': 3, 'cancelled': 2}, 'default': {'available': 2}}
"""

from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, JobFilter, JobState, NewJob, cancel_jobs, count_jobs, job_kind, list_jobs

app = Headrace()


@job_kind("shop.Mail")
@dataclass
class Mail:
    number: int


app.kinds(Mail)


def print_counts(connection: psycopg.Connection) -> None:
    counts = sorted(count_jobs(connection).items())
    print("counts:", {queue: {str(state): n for state, n in sorted(states.items())} for queue, states in counts})


def main(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        tags = {1: ["even"], 2: ["customer-7"], 4: ["customer-7"]}
        jobs = [
            NewJob(Mail(n), queue="bulk" if n < 6 else None, tags=["odd"] if n % 2 else tags.get(n, []))
            for n in range(1, 8)
        ]
        app.enqueue_many(connection, jobs)
        print_counts(connection)

        page = list_jobs(connection, JobFilter(tags=("odd",)), limit=2)
        print("page:", [job.id for job in page])
        page = list_jobs(connection, JobFilter(tags=("odd",)), limit=2, before_id=page.before_id)
        print("next page:", [job.id for job in page])

        wanted = JobFilter(states=(JobState.AVAILABLE,), tags=("customer-7",))
        dry = cancel_jobs(connection, wanted, dry_run=True)
        print(f"dry run: {dry.matched} of customer 7 would be cancelled")
        print("cancelled:", cancel_jobs(connection, wanted).changed)  # also retry_jobs, delete_jobs
        print_counts(connection)


with app.embedded_postgres() as dsn:
    main(dsn)
