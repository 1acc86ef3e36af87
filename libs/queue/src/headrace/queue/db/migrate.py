"""Brings an installation's tables to the version that this code needs, or back to an earlier one.

Each migration runs in a separate transaction where that is possible, under a lock, so any number of processes may
migrate at once. A migration that was applied with other content is an error. Workers of the previous version may run
meanwhile: a lock on a table that they use is waited for only briefly, and requested again.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, LiteralString, get_args

import psycopg

from headrace.queue.db.migration_files import OUTSIDE, MigrationFile, migration_files
from headrace.queue.db.statements import DEFAULT_SCHEMA, checked_schema, fill, statement
from headrace.queue.errors import QueueError, SchemaOutdatedError

logger = logging.getLogger(__name__)
DatabaseRole = Literal["server", "worker", "reader"]
ROLES: tuple[DatabaseRole, ...] = get_args(DatabaseRole)
_ROLE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
# Whoever waits for a table's lock makes everybody else wait behind it.
LOCK_TIMEOUT_MS = 1_000
LOCK_TRIES = 60
BETWEEN_TRIES = 0.5

RECORDS = """
create schema if not exists {schema};
create table if not exists {schema}.migrations (
  version integer primary key, name text not null, checksum text not null, applied_at timestamptz not null default now()
);
"""


class MigrationChangedError(QueueError):
    """A migration was applied with other content than it has here, or is not known here at all."""


@dataclass(frozen=True)
class Migration:
    """A numbered step, and when it was applied to the database that was asked."""

    version: int
    name: str
    applied_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


def up(dsn: str, *, schema: str = DEFAULT_SCHEMA, grants: Mapping[DatabaseRole, str] | None = None) -> list[Migration]:
    """Applies what is missing, in order, then grants the roles what they need. Returns the applied migrations.

    Args:
        dsn: The database, as a role that owns the schema or may create it. Not through a pooler in transaction mode.
        schema: The installation's schema.
        grants: Existing database roles, by what they are for.

    Raises:
        MigrationChangedError: The database has been migrated by other files than these.
        ValueError: The schema's or a role's name would need quoting.
        psycopg.errors.LockNotAvailable: A long transaction kept a table locked for a minute.
        psycopg.Error: Postgres refused; the step it refused is rolled back whole.
    """
    applied = []
    with _alone(dsn, schema) as connection:
        connection.execute(fill(RECORDS, schema))
        done = _applied(connection, schema)
        for file in migration_files():
            if file.version in done:
                _check(file, done[file.version], schema)
                continue
            _run(connection, file, file.up, schema, _note(file, schema))
            applied.append(Migration(file.version, file.name))
        for purpose, role in (grants or {}).items():
            _grant(connection, schema, purpose, role)
    return applied


def down(dsn: str, *, to: int, schema: str = DEFAULT_SCHEMA) -> list[Migration]:
    """Reverts every migration above version `to`, the newest first; 0 reverts all. Returns the reverted migrations.

    What only later versions store is lost: with version 1, every job. No worker that needs them may run.

    Raises:
        MigrationChangedError: The database has been migrated by other files than these, such as those of a later
            release.
        ValueError: The schema's name would need quoting, or `to` is below 0.
        psycopg.Error: Postgres refused; the step it refused is rolled back whole.
    """
    if to < 0:
        raise ValueError(f"version {to}: versions begin with 1, and 0 stands for an empty schema")
    taken_back = []
    with _alone(dsn, schema) as connection:
        done = _applied(connection, schema)
        known = {file.version: file for file in migration_files()}
        for version in sorted((version for version in done if version > to), reverse=True):
            if version not in known:
                raise MigrationChangedError(
                    f"schema {schema!r} is at version {version}, which is not known here: take it back by the release "
                    "that brought it"
                )
            file = known[version]
            _check(file, done[version], schema)
            _run(connection, file, file.down, schema, _forget(file, schema))
            taken_back.append(Migration(file.version, file.name))
    return taken_back


def status(dsn: str, *, schema: str = DEFAULT_SCHEMA) -> list[Migration]:
    """All migrations that this code knows, in order, with the time of those that are applied."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        applied: dict[int, datetime] = {}
        found = connection.execute("select to_regclass(%s)", (f"{checked_schema(schema)}.migrations",)).fetchone()
        if found != (None,):
            rows = connection.execute(fill("select version, applied_at from {schema}.migrations", schema))
            applied = dict(rows.fetchall())
    return [Migration(file.version, file.name, applied.get(file.version)) for file in migration_files()]


def script(*, start: int = 0, to: int | None = None, schema: str = DEFAULT_SCHEMA) -> str:
    """Returns the SQL from one version to another, up or down, to run it with another tool such as psql.

    It keeps the same records, so that `status` and `up` know what has been done.

    Raises:
        ValueError: There is no such version, or the schema's name would need quoting.
    """
    files = migration_files()
    end = files[-1].version if to is None else to
    if unknown := {start, end} - {0, *(file.version for file in files)}:
        raise ValueError(f"there is no version {min(unknown)}; the last one is {files[-1].version}")
    parts = [fill(RECORDS, schema).strip()] if start < end else []
    for file in files if start < end else reversed(files):
        if start < file.version <= end:
            parts.append(_as_script(file, file.up, schema, _note(file, schema)))
        elif end < file.version <= start:
            parts.append(_as_script(file, file.down, schema, _forget(file, schema)))
    return "\n\n".join(parts) + "\n"


def require_current(dsn: str, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Makes sure that nothing is missing.

    Raises:
        SchemaOutdatedError: Something is; the text says what to run.
        psycopg.OperationalError: The database can't be reached.
    """
    missing = [str(migration) for migration in status(dsn, schema=schema) if migration.applied_at is None]
    if missing:
        raise SchemaOutdatedError(schema, missing)


@contextmanager
def _alone(dsn: str, schema: str) -> Iterator[psycopg.Connection]:
    """A connection that holds the installation's migration lock.

    Asked for again and again, since who waits for a lock within a statement holds a snapshot, and an index that is
    made concurrently waits for all of those.
    """
    name = f"headrace.migrations.{checked_schema(schema)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        while connection.execute("select pg_try_advisory_lock(hashtext(%s))", (name,)).fetchone() != (True,):
            time.sleep(BETWEEN_TRIES / 5)
        yield connection


def _run(connection: psycopg.Connection, file: MigrationFile, text: str, schema: str, record: LiteralString) -> None:
    """Runs one of a migration's texts and records it."""
    statements = list(file.statements(text, schema))
    if text.startswith(OUTSIDE):
        for each in statements:
            connection.execute(each)
        connection.execute(record)
        return
    for tries_left in range(LOCK_TRIES, 0, -1):
        try:
            with connection.transaction():
                connection.execute(f"set local lock_timeout = {LOCK_TIMEOUT_MS}")
                for each in (*statements, record):
                    connection.execute(each)
        except psycopg.errors.LockNotAvailable:
            if tries_left == 1:
                raise
            logger.info("migration %s waits for a table that is locked, and tries again", file)
            time.sleep(BETWEEN_TRIES)
        else:
            return


def _as_script(file: MigrationFile, text: str, schema: str, record: str) -> str:
    body = f"{fill(text, schema).strip()}\n{record};"
    return f"-- {file}\n{body}" if text.startswith(OUTSIDE) else f"-- {file}\nbegin;\n{body}\ncommit;"


def _applied(connection: psycopg.Connection, schema: str) -> dict[int, str]:
    """The checksums of what has been applied, by version."""
    found = connection.execute("select to_regclass(%s)", (f"{schema}.migrations",)).fetchone()
    if found == (None,):
        return {}
    return dict(connection.execute(fill("select version, checksum from {schema}.migrations", schema)).fetchall())


def _check(file: MigrationFile, checksum: str, schema: str) -> None:
    if checksum != file.checksum:
        raise MigrationChangedError(
            f"migration {file} was applied to schema {schema!r} with other content: "
            "this database belongs to another version of the files"
        )


def _note(file: MigrationFile, schema: str) -> LiteralString:
    text = "insert into {schema}.migrations (version, name, checksum) values "
    return fill(f"{text}({file.version}, '{file.name}', '{file.checksum}')", schema)


def _forget(file: MigrationFile, schema: str) -> LiteralString:
    text = "delete from {schema}.migrations where version = "
    return fill(f"{text}{file.version}", schema)


def _grant(connection: psycopg.Connection, schema: str, purpose: DatabaseRole, role: str) -> None:
    if not _ROLE_NAME.fullmatch(role):
        raise ValueError(f"role name {role!r}: use lower-case letters, digits and underscores")
    with connection.transaction():
        connection.execute(psycopg.sql.SQL(statement(f"grant_{purpose}", schema).replace("{role}", role)))
