"""Tests of your own program: in a transaction that is rolled back, with the engine's real statements and no stand-ins.

Prints:
    alone: Done(output='Dear ada@example.org, welcome!')
    enqueued: Welcome(to='ada@example.org') in queue mail
    before its day: []
    a day later: completed
    left in the database: 0
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import psycopg

from headrace.queue import Done, Enqueuer, Handlers, Kinds, NewJob, RunningJob, job_kind, migrate
from headrace.embedded_postgres import EmbeddedPostgres
from headrace.queue.testing import Kit


@job_kind("shop.Welcome", queue="mail")
@dataclass
class Welcome:
    to: str


def welcome(message: Welcome, job: RunningJob) -> Done:
    return Done(f"Dear {message.to}, welcome!")


kinds = Kinds([Welcome])
handlers = Handlers(kinds)
handlers.add(Welcome, welcome)
kit = Kit(handlers)


def sign_up(connection: psycopg.Connection, address: str) -> None:
    """The code under test."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    Enqueuer(kinds).enqueue(connection, NewJob(Welcome(to=address), run_at=tomorrow))


with EmbeddedPostgres() as server:
    migrate.up(server.dsn())
    print("alone:", kit.run(Welcome(to="ada@example.org")))
    with psycopg.connect(server.dsn()) as connection:
        sign_up(connection, "ada@example.org")
        [job] = kit.enqueued(connection, Welcome)
        print("enqueued:", job.message, "in queue", job.queue)
        print("before its day:", kit.drain(connection))
        kit.move_clock(connection, timedelta(days=1))
        print("a day later:", *(job.state for job in kit.drain(connection)))
        connection.rollback()
        [row] = connection.execute("select count(*) from headrace.jobs")
        print("left in the database:", row[0])
