"""Puts the command `headrace` together."""

from __future__ import annotations

import typer

from headrace.queue.cli.explain import explain
from headrace.queue.cli.kinds import kinds
from headrace.queue.cli.migrate import migrate

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Headrace, the background-job backbone.")
app.add_typer(migrate, name="migrate")
app.add_typer(kinds, name="kinds")
app.command()(explain)


@app.callback()
def headrace() -> None:
    """Keeps the nouns apart from the verbs."""


def main() -> None:
    """The entry point."""
    app()
