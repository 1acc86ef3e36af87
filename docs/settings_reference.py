"""Fills in the tables of docs/settings.md from the classes that read the settings.

    python docs/settings_reference.py            rewrite the tables
    python docs/settings_reference.py --check    exit 1 when a table is not what the classes say

A table stands between `<!-- table: <name> -->` and `<!-- end -->`; TABLES has the names. Text around them is written by
hand, and so are the variables that no class of ours reads (OpenTelemetry's, and those of the make targets).
"""

from __future__ import annotations

import re
import sys
import types
import typing
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import typer
from annotated_types import Ge, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from api_service.settings import ApiSettings, DatabaseSettings, MigrationSettings
from headrace.chassis.settings import Address, Sensitive, Settings, format_duration
from headrace.chassis.telemetry.logs import LogSettings
from headrace.cli.program import build
from jobs_service.console.settings import JobsConsoleSettings
from jobs_service.server.settings import JobsServerSettings
from jobs_service.settings import JobsSettings
from jobs_service.worker.settings import JobsWorkerSettings
from saas_worker.settings import SaasWorkerSettings

PAGE = Path(__file__).with_name("settings.md")
_TABLE = re.compile(r"(?P<begin><!-- table: (?P<name>[\w-]+) -->\n).*?(?P<end><!-- end -->)", re.DOTALL)
# Types of the api that are written as lists.
_LISTS = {"LinkKeys", "PriceList"}


class Row(NamedTuple):
    """A setting, each cell in Markdown."""

    variable: str
    takes: str
    default: str
    purpose: str


def of_class(settings: type[Settings], *, beside: type[Settings] | None = None) -> list[Row]:
    """A row for each setting of a class, without those that it shares with the class `beside`."""
    known: Collection[str] = beside.model_fields if beside else ()
    return [
        Row(f"`{name.upper()}`", takes(field), default(field), purpose(field))
        for name, field in settings.model_fields.items()
        if name not in known
    ]


def of_command(noun: str, verb: str) -> list[Row]:
    """A row for each option of a command of `headrace` that a variable stands for."""
    group: Any = typer.main.get_command(build())
    rows = []
    for option in group.commands[noun].commands[verb].params:
        if option.envvar is None:
            continue
        variable, *others = [option.envvar] if isinstance(option.envvar, str) else option.envvar
        value = "**required**" if option.required else f"`{option.default}`" if option.default else "unset"
        value = f"that of `{others[0]}`" if others else value
        rows.append(Row(f"`{variable}`", "text, secret" if others else "text", value, option.help))
    return rows


TABLES: dict[str, Callable[[], list[Row]]] = {
    "logs": lambda: of_class(LogSettings),
    "api-server": lambda: of_class(ApiSettings),
    "api-migrate": lambda: of_class(MigrationSettings),
    "api-outbox": lambda: of_class(DatabaseSettings),
    "jobs": lambda: of_class(JobsSettings),
    "jobs-server": lambda: of_class(JobsServerSettings, beside=JobsSettings),
    "jobs-worker": lambda: of_class(JobsWorkerSettings, beside=JobsSettings),
    "saas-worker": lambda: of_class(SaasWorkerSettings),
    "jobs-console": lambda: of_class(JobsConsoleSettings),
    "headrace-migrate": lambda: of_command("migrate", "up"),
    "headrace-kinds": lambda: of_command("kinds", "check"),
}


def takes(field: FieldInfo) -> str:
    """What a setting takes, in a few words."""
    low = next((f" from {_written(mark.ge)}" for mark in field.metadata if isinstance(mark, Ge)), "")
    high = next((f" to {_written(mark.le)}" for mark in field.metadata if isinstance(mark, Le)), "")
    is_secret = "Secret" in repr(field.annotation) or any(isinstance(mark, Sensitive) for mark in field.metadata)
    return f"{_type(field)}{low}{high}{', secret' if is_secret else ''}"


def default(field: FieldInfo) -> str:
    """What holds where a setting is not given."""
    if field.is_required():
        return "**required**"
    value = field.get_default(call_default_factory=True)
    return "unset" if value is None or value == {} else f"`{_written(value)}`"


def purpose(field: FieldInfo) -> str:
    """What the class says that a setting is for, and its example."""
    told = str(field.description).replace("<", "&lt;")
    return " ".join([told, *(f"Example: `{example}`" for example in field.examples or ())])


def table(rows: Iterable[Row]) -> str:
    """A table in Markdown."""
    header = ["| variable | takes | default | what it is for |", "| --- | --- | --- | --- |"]
    return "\n".join([*header, *(f"| {' | '.join(row)} |" for row in rows)])


def with_tables(page: str) -> str:
    """Returns the page with every table filled in; raises SystemExit if the page lacks one."""
    if missing := TABLES.keys() - {match["name"] for match in _TABLE.finditer(page)}:
        raise SystemExit(f"docs/settings.md has no place for the tables {', '.join(sorted(missing))}")
    return _TABLE.sub(lambda match: f"{match['begin']}\n{table(TABLES[match['name']]())}\n\n{match['end']}", page)


def _type(field: FieldInfo) -> str:
    annotation = field.annotation
    if typing.get_origin(annotation) in {types.UnionType, typing.Union}:
        annotation = next(choice for choice in typing.get_args(annotation) if choice is not types.NoneType)
    if typing.get_origin(annotation) is typing.Literal:
        return ", ".join(f"`{value}`" for value in typing.get_args(annotation))
    if all(mark in field.metadata for mark in typing.get_args(Address)[1:]):
        return "host:port"
    if any(issubclass(kind, BaseModel) for kind in typing.get_args(annotation) if isinstance(kind, type)):
        return "JSON"
    if typing.get_origin(annotation) in {tuple, dict} or getattr(annotation, "__name__", "") in _LISTS:
        return "list"
    words = {bool: "`true`, `false`", timedelta: "duration", int: "integer", float: "number", Path: "path"}
    return words.get(typing.cast("type", annotation), "text")


def _written(value: object) -> str:
    if isinstance(value, timedelta):
        return format_duration(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def main() -> None:
    """The command."""
    old = PAGE.read_text(encoding="utf-8")
    fresh = with_tables(old)
    if "--check" in sys.argv[1:]:
        if old != fresh:
            raise SystemExit("docs/settings.md is stale; run `python docs/settings_reference.py`")
        return
    PAGE.write_text(fresh, encoding="utf-8")


if __name__ == "__main__":
    main()
