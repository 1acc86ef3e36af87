"""The lease protocol as a state machine: any order of statements on real Postgres, against a model of a few lines.

Each worker has its own connection and cursor. A claim and a producer's batch can be left open while the others
go on, and then be committed or rolled back. The model knows where each job stands and under which lease it was handed
out last; every statement must answer what the model says.
"""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from engine_kinds import FILE, TestKinds
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from psycopg.rows import dict_row

from headrace.queue import Enqueued, Enqueuer, Kinds, NewJob
from headrace.queue.claiming.cursor import Cursor, Mark
from headrace.queue.db import migrate
from headrace.queue.db.statements import statement

pytestmark = pytest.mark.postgres_versions

Connection = psycopg.Connection[dict[str, Any]]
GREET = "headrace.test.v1.Greet"
WORKERS = st.integers(0, 2)
AVAILABLE, RUNNING, RETRYABLE, COMPLETED, CANCELLED = "available", "running", "retryable", "completed", "cancelled"


@dataclass
class Modelled:
    """A job, as it must be."""

    state: str = AVAILABLE
    lease: int = 0
    attempt: int = 0
    behind: bool = False
    """Whether a rolled-back claim touched it: then other cursors may have passed it, and only a sweep must find it."""


@dataclass
class Life:
    """One life of a worker: its connection, its cursor, and every lease it was ever handed, kept to be used late."""

    connection: Connection
    worker_id: int
    cursor: Cursor = field(default_factory=Cursor)
    claim_no: int = 0
    handed: list[tuple[int, int]] = field(default_factory=list)


class LeaseProtocol(RuleBasedStateMachine):
    """The machine. The test makes its connections: an admin's, a producer's and three workers'."""

    connections: tuple[Connection, ...]

    @initialize()
    def begin(self) -> None:
        """An empty installation, three workers, one producer."""
        self.admin, self.producer, *workers = self.connections
        for connection in self.connections:
            connection.rollback()
            connection.autocommit = True
        self.admin.execute("truncate headrace.jobs, headrace.workers restart identity")
        self.enqueuer = Enqueuer(Kinds.of_file(FILE))
        self.jobs: dict[int, Modelled] = {}
        self.lives = [self._life(connection) for connection in workers]
        self.open_claim: tuple[Life, int, Mark, list[dict[str, Any]]] | None = None
        self.open_batch: list[int] | None = None

    def teardown(self) -> None:
        """Ends what is open; then a new worker must find every available job."""
        if not hasattr(self, "lives"):
            return
        if self.open_claim is not None:
            self.roll_back_claim()
        if self.open_batch is not None:
            self.commit_batch()
        found = {row["id"] for row in self._claim(self._life(self.admin), 1000)[1]}
        assert found == {id_ for id_, job in self.jobs.items() if job.state == AVAILABLE}

    # Producers

    @precondition(lambda self: self.open_batch is None)
    @rule(count=st.integers(1, 3), priority=st.integers(1, 4))
    def enqueue(self, count: int, priority: int) -> None:
        """A batch, committed at once."""
        self.jobs.update((job_id, Modelled()) for job_id in self._accept(count, priority))

    @precondition(lambda self: self.open_batch is None)
    @rule(count=st.integers(1, 3), priority=st.integers(1, 4))
    def open_a_batch(self, count: int, priority: int) -> None:
        """A batch whose transaction stays open."""
        self.producer.autocommit = False
        self.open_batch = self._accept(count, priority)

    @precondition(lambda self: self.open_batch is not None)
    @rule()
    def commit_batch(self) -> None:
        """It is committed, late."""
        assert self.open_batch is not None
        self.producer.commit()
        self.producer.autocommit = True
        self.jobs.update((job_id, Modelled()) for job_id in self.open_batch)
        self.open_batch = None

    @precondition(lambda self: self.open_batch is not None)
    @rule()
    def roll_back_batch(self) -> None:
        """It is rolled back: its jobs never were."""
        self.producer.rollback()
        self.producer.autocommit = True
        self.open_batch = None

    # Claims

    @rule(who=WORKERS, limit=st.integers(1, 4))
    def claim(self, who: int, limit: int) -> None:
        """A worker claims, alone or beside an open claim."""
        life = self.lives[who]
        if self.open_claim is None or self.open_claim[0] is not life:
            mark, rows = self._claim(life, limit)
            life.cursor.advance(mark)
            self._handed_out(life, rows)

    @rule(who=WORKERS)
    def claim_all(self, who: int) -> None:
        """A worker claims without limit: it must get whatever its cursor could not have passed."""
        life = self.lives[who]
        if self.open_claim is not None:
            return
        mark, rows = self._claim(life, 1000)
        life.cursor.advance(mark)
        due = {id_ for id_, job in self.jobs.items() if job.state == AVAILABLE and not job.behind}
        assert due <= {row["id"] for row in rows}
        self._handed_out(life, rows)

    @precondition(lambda self: self.open_claim is None)
    @rule(who=WORKERS, limit=st.integers(1, 4))
    def open_a_claim(self, who: int, limit: int) -> None:
        """A claim whose transaction stays open."""
        life = self.lives[who]
        life.connection.autocommit = False
        self.open_claim = (life, limit, *self._claim(life, limit))

    @precondition(lambda self: self.open_claim is not None)
    @rule()
    def commit_claim(self) -> None:
        """It is committed, late."""
        assert self.open_claim is not None
        life, _, mark, rows = self.open_claim
        life.connection.commit()
        life.connection.autocommit = True
        life.cursor.advance(mark)
        self.open_claim = None
        self._handed_out(life, rows)

    @precondition(lambda self: self.open_claim is not None)
    @rule()
    def roll_back_claim(self) -> None:
        """It is rolled back: its jobs stand where they stood, perhaps behind other workers' cursors."""
        assert self.open_claim is not None
        life, _, _, rows = self.open_claim
        life.connection.rollback()
        life.connection.autocommit = True
        for row in rows:
            self.jobs[row["id"]].behind = True
        self.open_claim = None

    # Outcomes, under any lease that was ever handed out

    @rule(who=WORKERS, data=st.data())
    def complete(self, who: int, data: st.DataObject) -> None:
        """Counts exactly if the lease is still the job's."""
        if (held := self._any_lease(who, data)) is not None:
            life, job_id, lease = held
            [row] = life.connection.execute(statement("complete"), {"ids": [job_id], "leases": [lease]}).fetchall()
            counted = row["counted"] is None
            assert counted == self._holds(job_id, lease)
            if counted:
                self.jobs[job_id].state = COMPLETED

    @rule(who=WORKERS, data=st.data(), outcome=st.sampled_from([AVAILABLE, RETRYABLE, CANCELLED]))
    def settle(self, who: int, data: st.DataObject, outcome: str) -> None:
        """Hand-back, failure or cancellation: the same fence."""
        if (held := self._any_lease(who, data)) is not None:
            life, job_id, lease = held
            params = {
                "ids": [job_id],
                "leases": [lease],
                "states": [outcome],
                "spent": [outcome != AVAILABLE],
                "delays_ms": [0],
                "errors": [None],
                "outputs": [None],
            }
            rows = life.connection.execute(statement("settle"), params).fetchall()
            assert bool(rows) == self._holds(job_id, lease)
            if rows:
                job = self.jobs[job_id]
                job.state, job.behind = outcome, False
                job.attempt -= outcome == AVAILABLE

    # Upkeep

    @rule()
    def promote(self) -> None:
        """Every retry whose time has come is available again."""
        self.admin.execute(statement("promote"), {"limit": 1000})
        for job in self.jobs.values():
            if job.state == RETRYABLE:
                job.state, job.behind = AVAILABLE, False

    @precondition(lambda self: self.open_claim is None)
    @rule(who=WORKERS)
    def declare_dead(self, who: int) -> None:
        """A worker is given up, rightly or wrongly, and begins a new life; the old one's leases can still be used."""
        life = self.lives[who]
        self.admin.execute("update headrace.workers set dead_at = now() where id = %s", (life.worker_id,))
        assert life.connection.execute(statement("beat"), self._beat(life)).fetchone() is None
        assert self._claim_rows(life, 10) is None, "the dead claim nothing"
        rows = self.admin.execute(statement("rescue"), {"max_deaths": 10_000}).fetchall()
        held = {id_ for id_, lease in life.handed if self._holds(id_, lease)}
        assert {row["id"] for row in rows} == held
        for job_id in held:
            job = self.jobs[job_id]
            job.state, job.behind, job.attempt = AVAILABLE, False, job.attempt - 1
        self.lives[who] = self._life(life.connection)
        self.lives[who].handed = life.handed

    @invariant()
    def the_table_is_as_modelled(self) -> None:
        """What others see of the table is what the model says."""
        if not hasattr(self, "jobs"):
            return
        rows = self.admin.execute("select id, state::text, lease, attempt from headrace.jobs").fetchall()
        expected = {id_: (job.state, job.lease, job.attempt) for id_, job in self.jobs.items()}
        assert {row["id"]: (row["state"], row["lease"], row["attempt"]) for row in rows} == expected

    @staticmethod
    def _life(connection: Connection) -> Life:
        params: dict[str, Any] = {"name": "modelled", "queues": ["greetings"], "kinds": [GREET], "versions": [1]}
        params |= {"slots": 10, "enabled": True}
        row = connection.execute(statement("register_worker"), params).fetchone()
        assert row is not None
        return Life(connection, row["id"])

    @staticmethod
    def _beat(life: Life) -> dict[str, Any]:
        vitals = {"running": 0, "rates": "{}", "free": "{}"}
        return {"worker_id": life.worker_id, "claim_floor": 0, "blocked_for": None, **vitals}

    def _accept(self, count: int, priority: int) -> list[int]:
        jobs = [NewJob(TestKinds.Greet(), priority=priority) for _ in range(count)]
        results = self.enqueuer.enqueue_many(self.producer, jobs)
        return [result.job_id for result in results if isinstance(result, Enqueued)]

    def _claim(self, life: Life, limit: int) -> tuple[Mark, list[dict[str, Any]]]:
        claimed = self._claim_rows(life, limit)
        assert claimed is not None
        return claimed

    def _claim_rows(self, life: Life, limit: int) -> tuple[Mark, list[dict[str, Any]]] | None:
        life.claim_no += 1
        params = {
            **life.cursor.params(),
            "worker_id": life.worker_id,
            "claim_no": life.claim_no,
            "queue": "greetings",
            "kinds": [GREET],
            "versions": [1],
            "limit": limit,
        }
        first, *rows = life.connection.execute(statement("claim"), params).fetchall()
        mark = Mark.parse(json.loads(first["mark"]))
        assert len(rows) <= limit
        for row in rows:
            job = self.jobs[row["id"]]
            assert (job.state, job.lease + 1, job.attempt + 1) == (AVAILABLE, row["lease"], row["attempt"])
        return None if mark is None else (mark, rows)

    def _handed_out(self, life: Life, rows: list[dict[str, Any]]) -> None:
        for row in rows:
            job = self.jobs[row["id"]]
            job.state, job.lease, job.attempt = RUNNING, row["lease"], row["attempt"]
            life.handed.append((row["id"], row["lease"]))

    def _any_lease(self, who: int, data: st.DataObject) -> tuple[Life, int, int] | None:
        life = self.lives[who]
        if not life.handed or self.open_claim is not None:
            return None
        job_id, lease = data.draw(st.sampled_from(life.handed))
        return life, job_id, lease

    def _holds(self, job_id: int, lease: int) -> bool:
        job = self.jobs[job_id]
        return job.state == RUNNING and job.lease == lease


def test_every_order_of_statements_keeps_the_protocol(database: str) -> None:
    migrate.up(database)
    with ExitStack() as stack:
        connections = [psycopg.connect(database, autocommit=True, row_factory=dict_row) for _ in range(5)]
        for connection in connections:
            stack.enter_context(connection)
            # Where another transaction holds the row, this machine, which has only one thread, would wait forever.
            connection.execute("set lock_timeout = '2s'")
        LeaseProtocol.connections = tuple(connections)
        run_state_machine_as_test(
            LeaseProtocol,
            settings=settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck)),
        )
