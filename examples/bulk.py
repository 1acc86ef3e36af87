"""Many jobs: a batch answers one result per job; COPY streams any number, all or nothing, as fast as Postgres writes.

Prints:
    batch: accepted, refused, accepted
    copied: 20000
    waiting: 20002
"""

from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueued, Enqueuer, Kinds, NewJob, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Reprice")
@dataclass
class Reprice:
    product: int


enqueuer = Enqueuer(Kinds([Reprice]))


def main(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        jobs = [NewJob(Reprice(1)), NewJob(Reprice(2), priority=9), NewJob(Reprice(3))]
        results = enqueuer.enqueue_many(connection, jobs)
        print("batch:", ", ".join("accepted" if isinstance(each, Enqueued) else "refused" for each in results))

        print(
            "copied:", enqueuer.enqueue_many_fast(connection, (NewJob(Reprice(product)) for product in range(20_000)))
        )
        connection.commit()

        row = connection.execute("select count(*) from headrace.jobs where state = 'available'").fetchone()
        assert row is not None
        print("waiting:", row[0])


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    main(server.dsn())
