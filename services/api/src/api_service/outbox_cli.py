"""api-outbox: lists jobs that the jobs service rejected for good, and retries them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar
from uuid import UUID

import typer
from rich.console import Console
from rich.table import Table

from api_service.database import Database, DatabaseUnavailableError
from api_service.outbox import outbox
from api_service.settings import DatabaseSettings
from headrace.chassis.settings import load
from headrace.outbox import ParkedRow

T = TypeVar("T")

app = typer.Typer(
    help="Jobs that the jobs service rejected for good; they are parked, never dropped.",
    no_args_is_help=True,
    add_completion=False,
)


@app.command("list")
def list_command(limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many at most.")] = 100) -> None:
    """List parked rows, oldest first."""

    async def parked(database: Database) -> list[ParkedRow]:
        async with database.transaction() as session:
            return await outbox.parked(session, limit=limit)

    rows = _run(parked)
    table = Table("id", "kind", "parked", "attempts", "refused because", title=f"{len(rows)} parked")
    for row in rows:
        parked_at = row.parked_at.isoformat(timespec="seconds")
        table.add_row(str(row.id), row.kind, parked_at, str(row.attempts), row.last_error)
    # Not truncated when it goes to a file or a pipe.
    console = Console()
    console.print(table, crop=console.is_terminal, no_wrap=not console.is_terminal)


@app.command("retry")
def retry_command(
    ids: Annotated[list[UUID] | None, typer.Argument(help="Which rows, as `list` shows them.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every parked row.")] = False,
) -> None:
    """Retry parked rows, within about a second."""
    if bool(ids) == every:
        raise typer.BadParameter("name the rows to retry, or pass --all")

    async def retried(database: Database) -> list[UUID]:
        async with database.transaction() as session:
            return await outbox.retry_parked(session, None if every else ids)

    for row_id in _run(retried):
        print(f"retrying {row_id}")


def _run(work: Callable[[Database], Awaitable[T]]) -> T:
    """Runs against the api's database; prints an error and exits with 1 if it is unavailable."""
    settings = load(DatabaseSettings)

    async def connected() -> T:
        database = Database(
            settings.api_database_url.get_secret_value(), pool_size=1, timeout=settings.api_database_timeout
        )
        try:
            return await work(database)
        finally:
            await database.dispose()

    try:
        return asyncio.run(connected())
    except DatabaseUnavailableError as error:
        print(f"The api's database is unavailable: {error}", file=sys.stderr)
        raise typer.Exit(1) from error


def main() -> None:
    """The console script."""
    app()
