"""One key, one job: the same caller, kind and key stand for one job for at least a week, whoever sends it how often.

Prints:
    first time: job 1
    again: job 1, a duplicate by its key
    another caller: another job
    same key, other payload: refused
"""

from dataclasses import dataclass

import psycopg

from headrace.queue import Enqueuer, KeyReusedError, Kinds, NewJob, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres


@job_kind("shop.Refund")
@dataclass
class Refund:
    order: int


enqueuer = Enqueuer(Kinds([Refund]), hash_keys=[b"a secret of yours"])


def main(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        first = enqueuer.enqueue(connection, NewJob(Refund(order=7), caller="web", key="refund-7"))
        print(f"first time: job {first.job_id}")
        connection.commit()

        again = enqueuer.enqueue(connection, NewJob(Refund(order=7), caller="web", key="refund-7"))
        assert again.duplicate
        print(f"again: job {again.job_id}, a duplicate by its {again.reason}")

        other = enqueuer.enqueue(connection, NewJob(Refund(order=7), caller="phone", key="refund-7"))
        assert not other.duplicate
        print("another caller: another job")

        try:
            enqueuer.enqueue(connection, NewJob(Refund(order=8), caller="web", key="refund-7"))
        except KeyReusedError:
            print("same key, other payload: refused")


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    main(server.dsn())
