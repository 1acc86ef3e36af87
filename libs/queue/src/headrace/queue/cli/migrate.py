"""`headrace migrate`: the tables, brought to a version and back."""

from __future__ import annotations

from typing import Annotated

import typer

from headrace.queue.cli.options import DatabaseUrl, Schema, reported
from headrace.queue.db import migrate as migrations
from headrace.queue.db.statements import DEFAULT_SCHEMA

migrate = typer.Typer(no_args_is_help=True, help="Bring the jobs database to the version that this code needs.")


@migrate.command()
def up(
    database_url: DatabaseUrl,
    schema: Schema = DEFAULT_SCHEMA,
    server_role: Annotated[str, typer.Option(envvar="JOBS_SERVER_ROLE", help="The jobs server's role.")] = "",
    worker_role: Annotated[str, typer.Option(envvar="JOBS_WORKER_ROLE", help="The workers' role.")] = "",
    reader_role: Annotated[str, typer.Option(envvar="JOBS_READER_ROLE", help="A role that may only look.")] = "",
) -> None:
    """Apply what is missing, and grant the named roles what they need."""
    named: dict[migrations.DatabaseRole, str] = {"server": server_role, "worker": worker_role, "reader": reader_role}
    with reported():
        applied = migrations.up(database_url, schema=schema, grants={k: v for k, v in named.items() if v})
    for migration in applied:
        typer.echo(f"applied {migration}")
    typer.echo(f"schema {schema} is current")


@migrate.command()
def down(
    to: Annotated[int, typer.Option(help="The version to go back to; 0 takes back everything, the jobs included.")],
    database_url: DatabaseUrl,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Take back every migration above a version. What only the later ones know is lost."""
    with reported():
        taken_back = migrations.down(database_url, to=to, schema=schema)
    for migration in taken_back:
        typer.echo(f"took back {migration}")
    typer.echo(f"schema {schema} is at version {to}")


@migrate.command("print")
def print_(
    start: Annotated[int, typer.Option("--from", help="The version that the schema is at.")] = 0,
    to: Annotated[int | None, typer.Option(help="The version to lead to; the last one if left out.")] = None,
    schema: Schema = DEFAULT_SCHEMA,
) -> None:
    """Print the SQL that leads from one version to another, to be run by psql."""
    with reported():
        typer.echo(migrations.script(start=start, to=to, schema=schema), nl=False)


@migrate.command()
def status(database_url: DatabaseUrl, schema: Schema = DEFAULT_SCHEMA) -> None:
    """List the migrations; exit with 1 when one is missing."""
    with reported():
        listed = migrations.status(database_url, schema=schema)
    for migration in listed:
        typer.echo(f"{migration}  {migration.applied_at or 'missing'}")
    raise typer.Exit(int(any(migration.applied_at is None for migration in listed)))
