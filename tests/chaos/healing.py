"""What heals: an operator, from the start, who retries what was given up; and after the faults, everything runs again
and the system comes to rest.
"""

from __future__ import annotations

import contextlib
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import psycopg

from headrace.queue.db.statements import statement
from local_stack.journey.clients import Clients
from local_stack.stack.system import System
from tests.chaos.people import deliver

READY_WITHIN = 120.0
HEADWAY_WITHIN = 150.0
"""Seconds within which less must be left to do than ever before. How long all of it takes is the machine's affair;
what makes no headway never ends. The slowest thing to come back is what a lost claim left behind: an audit and a sweep,
every 15 s each."""
LOOK_EVERY = 1.0
SHOWN = 20
OPEN_JOBS = """
select id, kind, state::text, lease, errors -> -1 ->> 'message' as why from headrace.jobs where finished_at is null
"""
GIVEN_UP = """
select id, kind, state::text, deaths, errors -> -1 ->> 'type' as why
from headrace.jobs where state in ('discarded', 'quarantined', 'cancelled')
"""


@dataclass
class Rest:
    """What healing took.

    Attributes:
        wrong: What should not have been so.
        seconds: How long it took.
    """

    wrong: list[str] = field(default_factory=list)
    seconds: float = 0.0


class Operator(threading.Thread):
    """Retries discarded jobs as an operator would, at once, because users wait for their emails.

    Attributes:
        wrong: What should not have been given up: only poison is quarantined, and the harness's own jobs are never used
            up.
        figures: How much there was to do.
    """

    def __init__(self, system: System) -> None:
        super().__init__(name="operator", daemon=True)
        self.wrong: list[str] = []
        self.figures = {"quarantined as poison, retried": 0, "discarded, retried": 0}
        self._dsn = system.plan.databases.dsn("jobs_owner", "jobs")
        self._ended = threading.Event()

    def run(self) -> None:
        """Checks from time to time; while Postgres is down, there is nothing to do."""
        while not self._ended.wait(LOOK_EVERY):
            with (
                contextlib.suppress(psycopg.OperationalError),
                psycopg.connect(
                    self._dsn, autocommit=True, connect_timeout=3, options="-c lock_timeout=2s"
                ) as connection,
            ):
                self._retry_given_up(connection)

    def end(self) -> None:
        """Goes home."""
        self._ended.set()
        self.join()

    def _retry_given_up(self, jobs: psycopg.Connection[Any]) -> None:
        for job_id, kind, state, deaths, why in jobs.execute(GIVEN_UP).fetchall():
            jobs.execute(statement("retry_jobs"), {"ids": [job_id]})
            if state == "quarantined" and deaths >= 3:
                self.figures["quarantined as poison, retried"] += 1
            elif state == "discarded" and not kind.startswith("chaos."):
                self.figures["discarded, retried"] += 1
            else:
                self.wrong.append(f"job {job_id} ({kind}) was {state} after {deaths} deaths: {why}")


def start_again(system: System) -> list[str]:
    """Waits until every part is ready; returns which had ended by themselves, and starts those."""
    fallen = [name for name in system.part_names if not system.part(name).running]
    told = [f"{name} had ended by itself:\n{system.part(name).tail()}" for name in fallen]
    for name in fallen:
        system.part(name).start()
    for name in system.part_names:
        system.part(name).wait_ready(time.monotonic() + READY_WITHIN)
    return told


def come_to_rest(system: System, clients: Clients) -> Rest:
    """Waits until nothing is left to do anywhere: no outbox row, no webhook, no event, no job."""
    rest, began = Rest(), time.monotonic()
    databases = system.plan.databases
    with (
        psycopg.connect(databases.dsn("jobs_owner", "jobs"), autocommit=True) as jobs,
        psycopg.connect(databases.dsn("api_owner", "api"), autocommit=True) as api,
    ):
        least, headway = None, began
        while left := _left(jobs, api, clients):
            if least is None or len(left) < least:
                least, headway = len(left), time.monotonic()
            if time.monotonic() - headway > HEADWAY_WITHIN:
                rest.wrong.append(
                    f"{len(left)} things are left, and no fewer than {least} for {HEADWAY_WITHIN:.0f} s: "
                    + "; ".join(left[:SHOWN])
                )
                break
            deliver(clients)
            time.sleep(LOOK_EVERY)
    rest.seconds = time.monotonic() - began
    return rest


def _left(jobs: psycopg.Connection[Any], api: psycopg.Connection[Any], clients: Clients) -> list[str]:
    left = [f"event {event['id']} is not taken" for event in clients.stripe.get("/_control/pending").json()["events"]]
    rows = api.execute("select id, attempts, parked_at is not null, last_error from outbox where sent_at is null")
    left += [f"outbox row {row} is not sent" for row in rows]
    left += [
        f"event {row} is not applied"
        for row in api.execute("select event_id from stripe_inbox where state = 'received'")
    ]
    left += [f"job {row} is open" for row in jobs.execute(OPEN_JOBS)]
    left += [f"job {row} is given up" for row in jobs.execute(GIVEN_UP)]
    return left
