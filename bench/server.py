"""The Postgres server that all are measured on, and what it says about its own work: WAL and CPU time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg

from bench.cpu import cpu_seconds
from headrace.embedded_postgres import EmbeddedPostgres

# fsync and synchronous_commit stay on, as everywhere where jobs matter.
SETTINGS = {"shared_buffers": "512MB", "max_wal_size": "4GB", "checkpoint_timeout": "30min"}
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass
class Work:
    """What the server did in a while."""

    wal_bytes: int = 0
    cpu_seconds: float = 0.0


class Server:
    """An embedded server. Each measurement has a separate database.

    Args:
        autovacuum: Whether it vacuums by itself, at any time and in any of the databases.
    """

    def __init__(self, *, autovacuum: bool = True) -> None:
        self._postgres = EmbeddedPostgres(settings={**SETTINGS, "autovacuum": "on" if autovacuum else "off"})

    def __enter__(self) -> Server:
        self._postgres.start()
        self._admin = psycopg.connect(self._postgres.dsn(), autocommit=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._admin.close()
        self._postgres.__exit__(None, None, None)

    @property
    def settings(self) -> dict[str, str]:
        """The version, and the settings that matter here."""
        names = ["server_version", "fsync", "synchronous_commit", "full_page_writes", "autovacuum", *SETTINGS]
        rows = self._admin.execute("select name, current_setting(name) from unnest(%s::text[]) as name", [names])
        return dict(rows.fetchall())

    @contextmanager
    def database(self, like: str = "template1") -> Iterator[str]:
        """The URL of a new database: a copy of the database `like`, which nothing is connected to."""
        name = f"bench_{uuid4().hex[:12]}"
        self._admin.execute(f"create database {name} template {like.rpartition('/')[2]}")
        try:
            yield self._postgres.dsn(name)
        finally:
            self._admin.execute(f"drop database {name} with (force)")

    def settle(self, dsn: str) -> None:
        """Brings a database into the state that it would be in a while after an enqueue, and flushes everything."""
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("vacuum analyze")
            connection.execute("checkpoint")

    def require(self, dsn: str, query: str, expected: int) -> None:
        """Asks a database for a number. Raises RuntimeError when it is another one."""
        with psycopg.connect(dsn) as connection:
            row: Any = connection.execute(query.encode()).fetchone()
        if row[0] != expected:
            raise RuntimeError(f"{query!r} says {row[0]} where {expected} was expected: what was measured is not true")

    @contextmanager
    def vacuum_held_back(self, dsn: str) -> Iterator[None]:
        """A transaction in the same database that reads nothing, and stays open."""
        with psycopg.connect(dsn) as connection:
            connection.execute("set transaction isolation level repeatable read, read only")
            connection.execute("select 1")
            yield

    @contextmanager
    def working(self) -> Iterator[Work]:
        """What the server does within the block, all its processes together."""
        work = Work()
        wal, cpu = self._wal(), self._cpu()
        yield work
        work.wal_bytes, work.cpu_seconds = self._wal() - wal, self._cpu() - cpu

    def _wal(self) -> int:
        row: Any = self._admin.execute("select (pg_current_wal_insert_lsn() - '0/0')::bigint").fetchone()
        return int(row[0])

    def _cpu(self) -> float:
        """Of the postmaster, of its children that have ended, and of those that live."""
        pid = self._postgres.pid
        while True:
            children = self._children()
            ended = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[13:15]
            try:
                living = sum(map(cpu_seconds, [pid, *children]))
            except ProcessLookupError:
                continue
            # Otherwise a process that has ended meanwhile would be counted twice, or not at all.
            if self._children() == children:
                return sum(map(int, ended)) / _TICKS + living

    def _children(self) -> list[int]:
        pid = self._postgres.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
