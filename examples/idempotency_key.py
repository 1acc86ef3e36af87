"""One key, one job: the same caller, kind and key identify one job for at least a week, however often it is enqueued.

Prints:
    first time: job 1
    again: job 1, a duplicate by its key
    another caller: another job
    same key, other payload: rejected
"""

from dataclasses import dataclass

import psycopg

from headrace.queue import Headrace, KeyReusedError, job_kind

app = Headrace(hash_keys=[b"a secret of yours"])


@job_kind("shop.Refund")
@dataclass
class Refund:
    order: int


app.kinds(Refund)  # this program only enqueues


def main(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        first = app.enqueue(connection, Refund(order=7), caller="web", key="refund-7")
        print(f"first time: job {first.job_id}")
        connection.commit()

        again = app.enqueue(connection, Refund(order=7), caller="web", key="refund-7")
        assert again.duplicate
        print(f"again: job {again.job_id}, a duplicate by its {again.reason}")

        other = app.enqueue(connection, Refund(order=7), caller="phone", key="refund-7")
        assert not other.duplicate
        print("another caller: another job")

        try:
            app.enqueue(connection, Refund(order=8), caller="web", key="refund-7")
        except KeyReusedError:
            print("same key, other payload: rejected")


with app.embedded_postgres() as dsn:
    main(dsn)
