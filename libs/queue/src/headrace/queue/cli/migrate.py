"""`headrace migrate`: brings the tables to a version."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.queue.cli.options import OwnersDatabaseUrl, Schema, reported
from headrace.queue.db import migrate as migrations
from headrace.queue.db.statements import DEFAULT_SCHEMA

migrate = typer.Typer(no_args_is_help=True, help="Bring the jobs database to the version that this release needs.")


@migrate.command()
def up(
    database_url: OwnersDatabaseUrl = "",
    schema: Schema = DEFAULT_SCHEMA,
    server_role: Annotated[
        str, typer.Option(envvar="JOBS_SERVER_ROLE", help="The database role of the jobs server.")
    ] = "",
    worker_role: Annotated[str, typer.Option(envvar="JOBS_WORKER_ROLE", help="The database role of the workers.")] = "",
    reader_role: Annotated[
        str, typer.Option(envvar="JOBS_READER_ROLE", help="A database role that may only read.")
    ] = "",
) -> None:
    """Apply the missing migrations, and grant the named roles what they need."""
    named: dict[migrations.DatabaseRole, str] = {"server": server_role, "worker": worker_role, "reader": reader_role}
    with reported():
        applied = migrations.up(database_url, schema=schema, grants={k: v for k, v in named.items() if v})
    for migration in applied:
        typer.echo(f"applied {migration}")
    typer.echo(f"schema {schema} is current")


@migrate.command()
def down(
    to: Annotated[int, typer.Option(help="The version to go back to; 0 removes everything, including the jobs.")],
    database_url: OwnersDatabaseUrl = "",
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Undo every migration above a version. Data that only later versions keep is lost."""
    with reported():
        reverted = migrations.down(database_url, to=to, schema=schema)
    for migration in reverted:
        typer.echo(f"reverted {migration}")
    typer.echo(f"schema {schema} is at version {to}")


@migrate.command("print")
def print_(
    start: Annotated[int, typer.Option("--from", help="The current version of the schema.")] = 0,
    to: Annotated[int | None, typer.Option(help="The version to reach; by default the last one.")] = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Print the SQL that leads from one version to another, for psql."""
    with reported():
        typer.echo(migrations.script(start=start, to=to, schema=schema), nl=False)


@migrate.command()
def status(database_url: OwnersDatabaseUrl = "", schema: Schema = DEFAULT_SCHEMA) -> None:
    """List the migrations. Exits with 1 if one is missing."""
    with reported():
        listed = migrations.status(database_url, schema=schema)
    for migration in listed:
        typer.echo(f"{migration}  {migration.applied_at or 'missing'}")
    raise typer.Exit(int(any(migration.applied_at is None for migration in listed)))
