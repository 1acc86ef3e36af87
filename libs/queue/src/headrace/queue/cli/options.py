"""What the commands have in common: their options for the database, and how they report errors."""

from __future__ import annotations

from typing import Annotated

import psycopg
import typer

from headrace.queue.errors import QueueError

USAGE_ERROR = 2


def required_database(parameter: typer.CallbackParam, value: str) -> str:
    """Returns the database's URL, or exits with the names of the variables it may come from."""
    if not value:
        variables = " or ".join(parameter.envvar or ())
        typer.echo(f"headrace: no database is given: set {variables}, or use {parameter.opts[0]}", err=True)
        raise typer.Exit(USAGE_ERROR)
    return value


OwnersDatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar=["JOBS_MIGRATION_DATABASE_URL", "JOBS_DATABASE_URL"],
        help="The jobs database, as the role that owns it.",
        callback=required_database,
    ),
]
DatabaseUrl = Annotated[
    str,
    typer.Option(
        "--database-url",
        envvar=["JOBS_DATABASE_URL", "JOBS_MIGRATION_DATABASE_URL"],
        help="The jobs database.",
        callback=required_database,
    ),
]
Schema = Annotated[str, typer.Option(envvar="JOBS_SCHEMA", help="The installation's schema.")]


class reported:  # noqa: N801  (reads as a statement)
    """Turns expected errors into one line on stderr and exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, QueueError | psycopg.Error | ValueError):
            typer.echo(f"headrace: {error}".strip(), err=True)
            raise typer.Exit(1) from None
