"""Puts the command `headrace` together from the entry points of the group `headrace.commands`.

An entry point's name is the command's; its object is a function, or a `typer.Typer` for a command with subcommands.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

import typer

GROUP = "headrace.commands"
_ANY_WORDS = {"ignore_unknown_options": True, "allow_extra_args": True}


def build() -> typer.Typer:
    """Returns the command with everything that is installed. What can't be loaded says why when it is called."""
    program = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Headrace: background jobs on Postgres. Each installed distribution brings its commands.",
    )
    program.callback()(_headrace)
    for entry_point in sorted(entry_points(group=GROUP), key=lambda each: each.name):
        name, panel = entry_point.name, f"Commands of {_distribution(entry_point)}"
        try:
            command = entry_point.load()
        except (ImportError, AttributeError) as error:
            reason = _reason(entry_point, error)
            program.command(name, rich_help_panel=panel, context_settings=_ANY_WORDS)(_unavailable(name, reason))
            continue
        if isinstance(command, typer.Typer):
            program.add_typer(command, name=name, rich_help_panel=panel)
        else:
            program.command(name, rich_help_panel=panel)(command)
    return program


def main() -> None:
    """Runs the command `headrace`."""
    build()()


def _headrace() -> None:
    """Keeps the name of a command in the command line, even where there is only one."""


def _unavailable(name: str, reason: str) -> Callable[[], None]:
    """Returns a command that does nothing but give a reason."""

    def unavailable() -> None:
        typer.echo(f"headrace {name}: {reason}", err=True)
        raise typer.Exit(1)

    # Brackets would be markup in a help text.
    unavailable.__doc__ = f"Not available: {reason}".replace("[", r"\[")
    return unavailable


def _reason(entry_point: EntryPoint, error: Exception) -> str:
    distribution = _distribution(entry_point)
    if isinstance(error, ModuleNotFoundError):
        extras = f"[{','.join(entry_point.extras)}]" if entry_point.extras else ""
        return f"the module {error.name} is not installed: pip install '{distribution}{extras}'"
    return f"{entry_point.value} of {distribution} can't be loaded: {error}"


def _distribution(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist else "an unknown distribution"
