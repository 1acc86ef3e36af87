"""An explanation agrees with the claims, whatever the situation.

What some worker would be given now is next, or behind just those that would be given out before it. What no worker
would be given has another reason. Claims are the real statement, in transactions that are rolled back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
from engine_kinds import FILE, TestKinds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.rows import dict_row

from headrace.queue import Enqueued, Enqueuer, Kinds, NewJob, explain_job_async
from headrace.queue.claiming.cursor import Cursor
from headrace.queue.db import migrate
from headrace.queue.db.statements import statement
from headrace.queue.inspection import reasons

Connection = psycopg.Connection[dict[str, Any]]
KINDS = ("Greet", "Count", "GreetAgain")
QUEUES = ("greetings", "numbers", "elsewhere")
PACKAGE = "headrace.test.v1."
TABLES = "headrace.jobs, headrace.workers, headrace.queues, headrace.paused_kinds, headrace.slot_log"


@dataclass(frozen=True)
class Waiting:
    """An available job."""

    kind: str
    queue: str
    priority: int
    version: int


@dataclass(frozen=True)
class Present:
    """A live worker."""

    kinds: frozenset[str]
    version: int
    queues: frozenset[str]
    enabled: bool
    free: int


@dataclass(frozen=True)
class Situation:
    """What there is."""

    jobs: Sequence[Waiting]
    workers: Sequence[Present]
    paused_queues: frozenset[str]
    paused_kinds: frozenset[str]
    all_paused: bool
    limit: int | None
    """Of the queue greetings."""
    running: int
    """How many of its jobs run."""


def some(of: Sequence[str], least: int = 0) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(of), min_size=least)


def mostly(usual: Any, otherwise: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """In seven of eight cases the usual: else hardly any job would ever get as far as the line."""
    return st.integers(0, 7).flatmap(lambda drawn: otherwise if drawn == 7 else st.just(usual))


jobs = st.builds(
    Waiting,
    kind=st.sampled_from(KINDS),
    queue=mostly("greetings", st.sampled_from(QUEUES)),
    priority=st.integers(1, 4),
    version=mostly(1, st.integers(2, 3)),
)
workers = st.builds(
    Present,
    kinds=some(KINDS, 1),
    version=st.integers(1, 3),
    queues=st.one_of(st.just(frozenset(QUEUES)), some(QUEUES, 1)),
    enabled=mostly(True, st.just(False)),
    free=st.integers(0, 2),
)
situations = st.builds(
    Situation,
    jobs=st.lists(jobs, min_size=4, max_size=12),
    workers=st.lists(workers, min_size=1, max_size=4),
    paused_queues=mostly(frozenset(), some(QUEUES)),
    paused_kinds=mostly(frozenset(), some(KINDS)),
    all_paused=mostly(False, st.booleans()),
    limit=st.one_of(st.none(), st.integers(1, 3)),
    running=st.integers(0, 3),
)


class Stage:
    """A database in which situations are set up, one after the other."""

    def __init__(self, dsn: str, connection: Connection) -> None:
        self._dsn = dsn
        self._connection = connection
        self._enqueuer = Enqueuer(Kinds.of_file(FILE))
        self.registered: list[tuple[int, Present]] = []

    def set_up(self, situation: Situation) -> list[int]:
        """Makes it so. Returns the ids of the available jobs."""
        execute = self._connection.execute
        execute(f"truncate {TABLES} restart identity")
        execute("update headrace.installation set paused_at = null, paused_by = null, kinds_off = '{}'")
        self.registered = [(self._register(worker), worker) for worker in situation.workers]
        if situation.running:
            self._run(situation.running, situation.limit)
        elif situation.limit:
            execute(statement("limit_queue"), {"queue": "greetings", "max_running": situation.limit})
        ids = [self._enqueue(job) for job in situation.jobs]
        for queue in situation.paused_queues:
            execute(statement("pause_queue"), {"queue": queue, "by": "ann"})
        for kind in situation.paused_kinds:
            execute(statement("pause_kind"), {"kind": PACKAGE + kind, "by": "ann"})
        if situation.all_paused:
            execute(statement("pause_all"), {"by": "ann"})
        return ids

    def explained(self, ids: Sequence[int]) -> dict[int, Any]:
        """The reason of each job."""

        async def ask() -> dict[int, Any]:
            async with await psycopg.AsyncConnection.connect(self._dsn, autocommit=True) as connection:
                return {job_id: (await explain_job_async(connection, job_id)).reason for job_id in ids}

        return asyncio.run(ask())

    def given_out(self) -> Iterator[tuple[int, str, list[int]]]:
        """What each worker would be given of each queue if it had slots enough: worker, queue, jobs."""
        for worker_id, worker in self.registered:
            for queue in worker.queues if worker.enabled else ():
                with self._connection.transaction(force_rollback=True):
                    yield worker_id, queue, self._claim(worker_id, worker, queue, 100)

    def _register(self, worker: Present) -> int:
        params = {
            "name": "worker",
            "queues": sorted(worker.queues),
            "kinds": [PACKAGE + kind for kind in sorted(worker.kinds)],
            "versions": [worker.version] * len(worker.kinds),
            "slots": 10,
            "enabled": worker.enabled,
        }
        row = self._connection.execute(statement("register_worker"), params).fetchone()
        assert row is not None
        beat = {"worker_id": row["id"], "claim_floor": 0, "blocked_for": None, "running": 0, "rates": "{}"}
        free = json.dumps(dict.fromkeys(worker.queues, worker.free))
        self._connection.execute(statement("beat"), {**beat, "free": free})
        worker_id: int = row["id"]
        return worker_id

    def _run(self, number: int, limit: int | None) -> None:
        """Has so many jobs run in the queue with the limit, by a worker that is on its way out."""
        runner = Present(frozenset(["Greet"]), 1, frozenset(["greetings"]), enabled=True, free=0)
        runner_id = self._register(runner)
        if limit:
            self._connection.execute(statement("limit_queue"), {"queue": "greetings", "max_running": limit})
        for _ in range(number):
            self._enqueue(Waiting("Greet", "greetings", 1, 1))
        self._claim(runner_id, runner, "greetings", number)
        self._connection.execute("delete from headrace.jobs where state = 'available'")
        self._connection.execute(statement("stop_worker"), {"worker_id": runner_id})

    def _enqueue(self, job: Waiting) -> int:
        new = NewJob(getattr(TestKinds, job.kind)(), queue=job.queue, priority=job.priority)
        [accepted] = self._enqueuer.enqueue_many(self._connection, [new])
        assert isinstance(accepted, Enqueued)
        update = "update headrace.jobs set version = %s where id = %s"
        self._connection.execute(update, (job.version, accepted.job_id))
        return accepted.job_id

    def _claim(self, worker_id: int, worker: Present, queue: str, limit: int) -> list[int]:
        params = {
            **Cursor().params(),
            "worker_id": worker_id,
            "claim_no": 1,
            "queue": queue,
            "kinds": [PACKAGE + kind for kind in sorted(worker.kinds)],
            "versions": [worker.version] * len(worker.kinds),
            "limit": limit,
        }
        return [row["id"] for row in self._connection.execute(statement("claim"), params) if row["id"] is not None]


def check(stage: Stage, situation: Situation) -> None:
    """Sets a situation up, and compares what is explained with what would be given out."""
    ids = stage.set_up(situation)
    explained = stage.explained(ids)
    waiting = dict(zip(ids, situation.jobs, strict=True))
    given: dict[int, set[int]] = {}
    limited: set[str] = set()
    for worker_id, queue, claimed in stage.given_out():
        for job_id in claimed:
            given.setdefault(job_id, set()).add(worker_id)
        if queue == "greetings" and situation.limit and len(claimed) >= situation.limit - situation.running:
            limited.add(queue)
    for job_id, reason in explained.items():
        job = waiting[job_id]
        if job_id in given:
            assert isinstance(reason, reasons.Next | reasons.Behind), (job, reason)
        elif not (job.queue in limited and isinstance(reason, reasons.QueueFull | reasons.Behind | reasons.Next)):
            assert not isinstance(reason, reasons.Next | reasons.Behind | reasons.QueueFull), (job, reason)
        if isinstance(reason, reasons.Next | reasons.Behind) and job.queue not in limited:
            line = sorted((waiting[each].priority, each) for each in given if waiting[each].queue == job.queue)
            place = line.index((job.priority, job_id))
            free = sum(worker.free for worker_id, worker in stage.registered if worker_id in given[job_id])
            assert isinstance(reason, reasons.Next) == (place == 0 and free > 0), (job, reason)
            assert isinstance(reason, reasons.Next) or (reason.jobs_before, reason.free_slots) == (place, free)


def test_an_explanation_agrees_with_the_claims_in_any_situation(database: str) -> None:
    migrate.up(database)
    with ExitStack() as stack:
        connection = psycopg.connect(database, autocommit=True, row_factory=dict_row)
        stage = Stage(database, stack.enter_context(connection))

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(situations)
        def in_any_situation(situation: Situation) -> None:
            check(stage, situation)

        in_any_situation()
