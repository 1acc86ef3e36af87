"""Brings an installation's tables to the version that this code needs.

Migrations are numbered plain SQL files. Each runs in a transaction of its own under an advisory lock, so any
number of processes may ask at once. A migration that was applied with other content is an error, never skipped.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Literal, get_args

import psycopg

from headrace.queue.errors import QueueError, SchemaOutdated
from headrace.queue.statements import DEFAULT_SCHEMA, checked_schema, fill, statement

Role = Literal["server", "worker", "reader"]
ROLES: tuple[Role, ...] = get_args(Role)
_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.up\.sql")
_ROLE_NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class MigrationChanged(QueueError):
    """A migration was applied with other content than it has here."""


@dataclass(frozen=True)
class Migration:
    """A numbered step, and when it was applied to the database that was asked."""

    version: int
    name: str
    applied_at: datetime | None = None

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"


def up(dsn: str, *, schema: str = DEFAULT_SCHEMA, grants: Mapping[Role, str] | None = None) -> list[Migration]:
    """Applies what is missing, in order, then grants the roles what they need. Answers what it applied.

    Args:
        dsn: The database, as a role that owns the schema or may create it.
        schema: The installation's schema.
        grants: Existing database roles, by what they are for.

    Raises:
        MigrationChanged: The database has been migrated by other files than these.
        ValueError: The schema's or a role's name would need quoting.
        psycopg.Error: Postgres refused; the step it refused is rolled back whole.
    """
    checked_schema(schema)
    applied = []
    with psycopg.connect(dsn, autocommit=True) as connection:
        with connection.transaction():
            _lock(connection, schema)
            connection.execute(fill("create schema if not exists {schema}", schema))
            connection.execute(
                fill(
                    "create table if not exists {schema}.migrations (version integer primary key, name text not null, "
                    "checksum text not null, applied_at timestamptz not null default now())",
                    schema,
                )
            )
        for version, (name, text) in sorted(_files().items()):
            with connection.transaction():
                _lock(connection, schema)
                if not _pending(connection, schema, version, name, text):
                    continue
                connection.execute(fill(text, schema))
                connection.execute(
                    fill("insert into {schema}.migrations (version, name, checksum) values (%s, %s, %s)", schema),
                    (version, name, _checksum(text)),
                )
                applied.append(Migration(version, name))
        for purpose, role in (grants or {}).items():
            _grant(connection, schema, purpose, role)
    return applied


def status(dsn: str, *, schema: str = DEFAULT_SCHEMA) -> list[Migration]:
    """All migrations that this code knows, in order, with the time of those that are applied."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        applied: dict[int, datetime] = {}
        found = connection.execute("select to_regclass(%s)", (f"{checked_schema(schema)}.migrations",)).fetchone()
        if found != (None,):
            rows = connection.execute(fill("select version, applied_at from {schema}.migrations", schema))
            applied = dict(rows.fetchall())
    return [Migration(version, name, applied.get(version)) for version, (name, _) in sorted(_files().items())]


def require_current(dsn: str, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Makes sure that nothing is missing.

    Raises:
        SchemaOutdated: Something is; the text says what to run.
        psycopg.OperationalError: The database can't be reached.
    """
    missing = [str(migration) for migration in status(dsn, schema=schema) if migration.applied_at is None]
    if missing:
        raise SchemaOutdated(schema, missing)


def _files() -> dict[int, tuple[str, str]]:
    found = {}
    for file in (files(__package__) / "migrations").iterdir():
        if match := _FILE_NAME.fullmatch(file.name):
            found[int(match[1])] = (match[2], file.read_text(encoding="utf-8"))
    return found


def _pending(connection: psycopg.Connection, schema: str, version: int, name: str, text: str) -> bool:
    query = fill("select checksum from {schema}.migrations where version = %s", schema)
    row = connection.execute(query, (version,)).fetchone()
    if row is not None and row[0] != _checksum(text):
        raise MigrationChanged(
            f"migration {version:04}_{name} was applied to schema {schema!r} with other content: "
            "this database belongs to another version of the files"
        )
    return row is None


def _lock(connection: psycopg.Connection, schema: str) -> None:
    connection.execute("select pg_advisory_xact_lock(hashtext(%s))", (f"headrace.migrations.{schema}",))


def _grant(connection: psycopg.Connection, schema: str, purpose: Role, role: str) -> None:
    if not _ROLE_NAME.fullmatch(role):
        raise ValueError(f"role name {role!r}: use lower-case letters, digits and underscores")
    with connection.transaction():
        _lock(connection, schema)
        connection.execute(psycopg.sql.SQL(statement(f"grant_{purpose}", schema).replace("{role}", role)))


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
