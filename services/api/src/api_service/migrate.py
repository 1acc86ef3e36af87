"""api-migrate: migrates the schema of the api's database to this release, or shows its revision.

Any number of replicas may run it at once: one migrates, the others wait for it and find nothing left to do.
"""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from functools import cache
from importlib import resources
from typing import Annotated

import typer
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from api_service.database import sqlalchemy_url
from api_service.settings import MigrationSettings
from headrace.chassis.settings import load, parse_duration

# An arbitrary number that no other program locks in this database.
_LOCK = 4_160_050_052
_RETRY_EVERY = timedelta(seconds=1)


def up(database_url: str, *, grant_to: str | None = None) -> list[str]:
    """Runs all missing migrations in one transaction.

    Args:
        database_url: A libpq URL of the tables' owner.
        grant_to: A role that is then granted read and write access to every table.

    Returns:
        The revisions that were applied, in order.
    """
    with _engine(database_url).begin() as connection:
        # Held until the commit, so it needs no separate session and works behind a transaction pooler.
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        before = _current(connection)
        command.upgrade(_config(connection), "head")
        if grant_to:
            _grant(connection, grant_to)
        return [revision for revision in _revisions() if revision not in _up_to(before)]


def status(database_url: str) -> tuple[str | None, list[str]]:
    """Returns the schema's revision (None: an empty database), and the missing revisions of this release."""
    with _engine(database_url).connect() as connection:
        current = _current(connection)
    return current, [revision for revision in _revisions() if revision not in _up_to(current)]


def head() -> str:
    """The revision that this release needs."""
    return _revisions()[-1]


def serves(revision: str | None) -> bool:
    """Returns whether this release can run on a schema of that revision: its own, or a later release's."""
    return revision == head() or (revision is not None and revision not in _revisions())


@cache
def _revisions() -> list[str]:
    """Every revision of this release, oldest first."""
    return [script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()][::-1]


def _up_to(revision: str | None) -> list[str]:
    revisions = _revisions()
    if revision is None:
        return []
    return revisions[: revisions.index(revision) + 1] if revision in revisions else revisions


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _grant(connection: Connection, role: str) -> None:
    quoted = connection.dialect.identifier_preparer.quote_identifier(role)
    connection.execute(text(f"GRANT USAGE ON SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {quoted}"))
    connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {quoted}"))


def _engine(database_url: str) -> Engine:
    return create_engine(sqlalchemy_url(database_url), poolclass=NullPool, connect_args={"connect_timeout": 5})


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(resources.files("api_service") / "migrations"))
    config.attributes["connection"] = connection
    return config


app = typer.Typer(help="The schema of the api's database.", no_args_is_help=True, add_completion=False)


@app.command("up")
def up_command(
    wait: Annotated[str, typer.Option(help="How long to wait for the database, such as 60s.")] = "",
) -> None:
    """Migrate the schema to this release."""
    settings = load(MigrationSettings)
    deadline = time.monotonic() + (parse_duration(wait).total_seconds() if wait else 0)
    while True:
        try:
            applied = up(settings.url(), grant_to=settings.api_database_role)
            break
        except OperationalError as error:
            reason = str(error.orig).splitlines()[0]
            if time.monotonic() >= deadline:
                print(f"The api's database is not reachable: {reason}", file=sys.stderr)
                raise typer.Exit(1) from error
            print(f"Waiting for the api's database: {reason}", file=sys.stderr)
            time.sleep(_RETRY_EVERY.total_seconds())
    print("\n".join(f"applied {revision}" for revision in applied) or f"up to date at {head()}")


@app.command("status")
def status_command() -> None:
    """Show the schema's revision; exit code 1 if migrations are missing."""
    current, missing = status(load(MigrationSettings).url())
    print(f"schema: {current or 'none'}\nneeded: {head()}\nmissing: {', '.join(missing) or 'nothing'}")
    raise typer.Exit(1 if missing else 0)


def main() -> None:
    """The console script."""
    app()
