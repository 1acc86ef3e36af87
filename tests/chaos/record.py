"""What the harness itself knows, apart from the engine: what it was answered, and what its handlers did.

The tables are append-only and have no unique constraint: what happens twice must be seen, not prevented.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

import psycopg

TABLES = """
create schema chaos;
-- What a handler did in the transaction that completed its job.
create table chaos.effects (
  job_id bigint not null, lease integer not null, token text not null,
  at timestamptz not null default clock_timestamp()
);
-- Each attempt of a handler, committed at once: that it began, and that it is about to return.
create table chaos.runs (
  job_id bigint not null, lease integer not null, token text not null,
  began_at timestamptz not null default clock_timestamp(), ended_at timestamptz
);
create index on chaos.runs (job_id, lease);
grant usage on schema chaos to jobs_worker;
grant select, insert, update on chaos.effects, chaos.runs to jobs_worker;
"""


def create_tables(owner_dsn: str) -> None:
    """Makes the tables in the jobs database."""
    with psycopg.connect(owner_dsn) as connection:
        connection.execute(TABLES)


class Fate(StrEnum):
    """How a transaction that enqueued ended, as far as its client knows."""

    COMMITTED = "committed"
    ROLLED_BACK = "rolled back"
    UNSENT = "without a connection"
    IN_DOUBT = "in doubt"
    """The connection broke in the commit: either may be so."""


@dataclass(frozen=True)
class Enqueued:
    """One job that the harness enqueued, or tried to."""

    token: str
    job_id: int | None
    fate: Fate


class Ledger:
    """What clients were told. Safe for threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._enqueued: dict[str, Enqueued] = {}
        self._by_rpc: dict[str, int] = {}
        self._registered: list[str] = []
        self._wrong: list[str] = []

    def note(self, token: str, job_id: int | None, fate: Fate) -> None:
        """An enqueue in a transaction of our own has ended."""
        with self._lock:
            self._enqueued[token] = Enqueued(token, job_id, fate)

    def answered(self, key: str, job_id: int) -> None:
        """The jobs service has answered an enqueue under a key; it must say the same each time."""
        with self._lock:
            if self._by_rpc.setdefault(key, job_id) != job_id:
                self._wrong.append(f"key {key} was answered with jobs {self._by_rpc[key]} and {job_id}")

    def registered(self, email: str) -> None:
        """Somebody was told that they are registered."""
        with self._lock:
            self._registered.append(email)

    def wrong(self, what: str) -> None:
        """An answer broke a promise at once."""
        with self._lock:
            self._wrong.append(what)

    def enqueued(self, *fates: Fate) -> list[Enqueued]:
        """The enqueues that ended so."""
        with self._lock:
            return [entry for entry in self._enqueued.values() if entry.fate in fates]

    @property
    def accepted_by_rpc(self) -> dict[str, int]:
        """The jobs that the jobs service has answered, by key."""
        with self._lock:
            return dict(self._by_rpc)

    @property
    def people(self) -> list[str]:
        """Who is registered."""
        with self._lock:
            return list(self._registered)

    @property
    def broken_promises(self) -> list[str]:
        """What was wrong at once."""
        with self._lock:
            return list(self._wrong)

    def figures(self) -> dict[str, int]:
        """How much of everything."""
        with self._lock:
            fates = Counter(entry.fate for entry in self._enqueued.values())
            return {
                **{f"jobs enqueued, {fate}": fates[fate] for fate in Fate},
                "jobs enqueued by RPC": len(self._by_rpc),
                "people registered": len(self._registered),
            }
