"""What the commands have in common: which database, which installation, and how errors are told."""

from __future__ import annotations

from typing import Annotated

import psycopg
import typer

from headrace.queue.errors import QueueError

DatabaseUrl = Annotated[
    str,
    typer.Option(envvar=["JOBS_MIGRATION_DATABASE_URL", "JOBS_DATABASE_URL"], help="The jobs database, as its owner."),
]
Schema = Annotated[str, typer.Option(envvar="JOBS_SCHEMA", help="The installation's schema.")]


class reported:  # noqa: N801  (reads as a statement)
    """Turns what can go wrong into one line on stderr and exit code 1."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, QueueError | psycopg.Error | ValueError):
            typer.echo(f"headrace: {error}".strip(), err=True)
            raise typer.Exit(1) from None
