"""The load: jobs enqueued in transactions that commit, roll back or stay open, and by RPC. Bounded, on loopback."""

from __future__ import annotations

import random
import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import zip_longest
from typing import Any

import grpc
import psycopg

from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from headrace.queue import Enqueued, Enqueuer, NewJob
from local_stack.journey.clients import Clients, bearer
from local_stack.stack.system import System
from saas.jobs.v1.kinds_pb2 import ReconcileStripe
from tests.chaos.kinds import KINDS, Effect, Plain, Told
from tests.chaos.record import Fate, Ledger

HASH_KEY = b"a key of the harness's own, 32 by"
ROLLED_BACK, HELD_OPEN, KEYED, LATER, STUMBLING, LONG = 0.2, 0.1, 0.3, 0.1, 0.1, 0.3
"""Which share of transactions or jobs is so."""
PAUSE = (0.1, 0.5)
"""Seconds between two transactions of one client."""
CALLS = (1.0, 5.0)
"""Seconds between two calls by RPC: each has Stripe's whole list of events read, which grows with the run."""
AGAIN = 0.5
"""Seconds until a client asks again."""


class EnqueuingClient(threading.Thread):
    """A client that enqueues in its own transactions."""

    def __init__(self, number: int, system: System, ledger: Ledger, stop: threading.Event, rng: random.Random) -> None:
        super().__init__(name=f"enqueuer-{number}", daemon=True)
        self._dsn = system.plan.databases.dsn("jobs_server", "jobs")
        self._enqueuer = Enqueuer(KINDS, hash_keys=(HASH_KEY,))
        self._ledger = ledger
        self._stopping = stop
        self._rng = rng
        self._count = 0
        self._connection: psycopg.Connection[Any] | None = None

    def run(self) -> None:
        """Enqueues until stopped."""
        while not self._stopping.wait(self._rng.uniform(*PAUSE)):
            jobs = [self._job() for _ in range(self._rng.randint(1, 4))]
            rolled_back = self._rng.random() < ROLLED_BACK
            fate, answers = self._transaction(jobs, rolled_back=rolled_back, seconds=self._held_open())
            for job, answer in zip_longest(jobs, answers):
                if fate is Fate.IN_DOUBT and job.key:
                    self._until_committed(job)
                else:
                    self._ledger.note(job.payload.token, answer.job_id if answer else None, fate)
        if self._connection is not None:
            self._connection.close()

    def _job(self) -> NewJob:
        self._count += 1
        token = f"{self.name}-{self._count}"
        seconds = self._rng.uniform(1.5, 6) if self._rng.random() < LONG else self._rng.uniform(0, 0.1)
        stumbles = self._rng.randint(1, 2) if self._rng.random() < STUMBLING else 0
        later = self._rng.uniform(0, 5) if self._rng.random() < LATER else None
        return NewJob(
            self._rng.choice([Effect, Effect, Plain, Told])(token, round(seconds, 3), stumbles),
            caller="chaos",
            key=token if self._rng.random() < KEYED else "",
            priority=self._rng.randint(1, 4),
            run_at=datetime.now(UTC) + timedelta(seconds=later) if later is not None else None,
        )

    def _held_open(self) -> float:
        return self._rng.uniform(0.5, 3.0) if self._rng.random() < HELD_OPEN else 0.0

    def _transaction(self, jobs: list[NewJob], *, rolled_back: bool, seconds: float) -> tuple[Fate, list[Enqueued]]:
        """Runs one transaction; returns its fate as far as it is known, and the results in it."""
        try:
            connection = self._connect()
        except psycopg.Error:
            return Fate.UNSENT, []
        try:
            answers = [
                answer for answer in self._enqueuer.enqueue_many(connection, jobs) if isinstance(answer, Enqueued)
            ]
            if seconds:
                self._stopping.wait(seconds)
        except psycopg.Error:  # not committed, since the commit wasn't requested
            self._disconnect()
            return Fate.ROLLED_BACK, []
        if len(answers) != len(jobs):
            self._ledger.wrong(f"{self.name}: sound jobs were refused")
        try:
            if rolled_back:
                connection.rollback()
                return Fate.ROLLED_BACK, answers
            connection.commit()
        except psycopg.Error:
            self._disconnect()
            return (Fate.ROLLED_BACK if rolled_back else Fate.IN_DOUBT), answers
        return Fate.COMMITTED, answers

    def _until_committed(self, job: NewJob) -> None:
        """Sends a job whose fate is in doubt again, under its key, until it is known."""
        while True:
            fate, answers = self._transaction([job], rolled_back=False, seconds=0)
            if fate is Fate.COMMITTED:
                self._ledger.note(job.payload.token, answers[0].job_id, fate)
                return
            threading.Event().wait(AGAIN)

    def _connect(self) -> psycopg.Connection[Any]:
        if self._connection is None:
            self._connection = psycopg.connect(self._dsn, connect_timeout=3)
        return self._connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
        self._connection = None


class Caller(threading.Thread):
    """A client of the jobs service that sends each job under a key until it is answered, and now and then once more."""

    def __init__(self, system: System, clients: Clients, ledger: Ledger, stop: threading.Event, rng: random.Random):
        super().__init__(name="caller", daemon=True)
        self._token = bearer(system.credentials.operator_token)
        self._jobs = clients.jobs
        self._ledger = ledger
        self._stopping = stop
        self._rng = rng

    def run(self) -> None:
        """Enqueues until stopped."""
        number = 0
        while not self._stopping.wait(self._rng.uniform(*CALLS)):
            number += 1
            for _ in range(2 if self._rng.random() < 0.3 else 1):
                self._until_answered(f"chaos-{number}")

    def _until_answered(self, key: str) -> None:
        request = EnqueueRequest(idempotency_key=key)
        request.payload.Pack(ReconcileStripe())
        while True:
            try:
                answer = self._jobs.Enqueue(request, metadata=self._token, timeout=5)
            except grpc.RpcError:
                threading.Event().wait(AGAIN)
            else:
                self._ledger.answered(key, int(answer.job_id))
                return
