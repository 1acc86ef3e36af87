"""Many jobs: all of a batch or none, one result per job, or any number by COPY, as fast as Postgres writes.

Prints:
    all or none: jobs[1]: priority must be 1 (first) to 4 (last)
    one result per job: enqueued, rejected, enqueued
    copied: 20000
    waiting: 20002
"""

from dataclasses import dataclass

import psycopg

from headrace.queue import BatchRejectedError, Enqueued, Headrace, NewJob, job_kind

app = Headrace()


@job_kind("shop.Reprice")
@dataclass
class Reprice:
    product: int


app.kinds(Reprice)  # this program only enqueues


def main(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        try:
            app.enqueue_many(connection, [Reprice(1), NewJob(Reprice(2), priority=9), Reprice(3)])
        except BatchRejectedError as rejected:
            print("all or none:", *(f"jobs[{index}]: {error}" for index, error in rejected.errors.items()))

        jobs = [NewJob(Reprice(1)), NewJob(Reprice(2), priority=9), NewJob(Reprice(3))]
        results = app.enqueuer.enqueue_many(connection, jobs)
        words = ("enqueued" if isinstance(each, Enqueued) else "rejected" for each in results)
        print("one result per job:", ", ".join(words))

        print("copied:", app.enqueue_many_fast(connection, (Reprice(product) for product in range(20_000))))
        connection.commit()

        [(waiting,)] = connection.execute("select count(*) from headrace.jobs where state = 'available'")
        print("waiting:", waiting)


with app.embedded_postgres() as dsn:
    main(dsn)
