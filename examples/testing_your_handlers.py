"""Tests of your program run in a transaction that is rolled back, with the engine's real statements and no fakes.

Prints:
    alone: Done(output='Dear ada@example.org, welcome!')
    enqueued: Welcome(to='ada@example.org') in queue mail
    before its day: []
    a day later: completed
    left in the database: 0
"""

from dataclasses import dataclass
from datetime import timedelta

import psycopg

from headrace.queue import Done, Headrace, RunningJob, job_kind
from headrace.queue.testing import Kit

app = Headrace()


@job_kind("shop.Welcome", queue="mail")
@dataclass
class Welcome:
    to: str


@app.handler
def welcome(payload: Welcome, job: RunningJob) -> Done:
    return Done(f"Dear {payload.to}, welcome!")


def sign_up(connection: psycopg.Connection, address: str) -> None:
    """The code under test."""
    app.enqueue(connection, Welcome(to=address), run_after=timedelta(days=1))


kit = Kit(app)
with app.embedded_postgres() as dsn:
    print("alone:", kit.run(Welcome(to="ada@example.org")))
    with psycopg.connect(dsn) as connection:
        sign_up(connection, "ada@example.org")
        [job] = kit.enqueued(connection, Welcome)
        print("enqueued:", job.payload, "in queue", job.queue)
        print("before its day:", kit.drain(connection))
        kit.move_clock(connection, timedelta(days=1))
        print("a day later:", *(job.state for job in kit.drain(connection, Welcome)))
        connection.rollback()
        [row] = connection.execute("select count(*) from headrace.jobs")
        print("left in the database:", row[0])
