"""The SQL of the engine: one file per statement in sql/, in a folder per sub-package, named for what it does.

In a statement `{schema}`, `{channel}` and `{events}` are replaced by the installation's schema and its notification
channels, and `{include name}` by the text of another file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import LiteralString

import psycopg

DEFAULT_SCHEMA = "headrace"
TABLES_MISSING = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
)
_INCLUDE = re.compile(r"\{include (\w+)\}")
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def checked_schema(schema: str) -> str:
    """Returns the schema's name, which must need no quoting.

    Raises:
        ValueError: It needs quoting, or is too long.
    """
    if not _SCHEMA_NAME.fullmatch(schema):
        raise ValueError(f"schema name {schema!r}: use up to 41 lower-case letters, digits and underscores")
    return schema


def ready_channel(schema: str) -> str:
    """Returns the channel on which a queue's name is notified when jobs of it have become available."""
    return f"{checked_schema(schema)}_ready"


def events_channel(schema: str) -> str:
    """Returns the channel on which workers publish what happens to jobs."""
    return f"{checked_schema(schema)}_events"


def fill(text: str, schema: str) -> LiteralString:
    """Returns a text of the engine with the installation's names filled in, which are checked: it is safe to run."""
    names = {"schema": checked_schema(schema), "channel": ready_channel(schema), "events": events_channel(schema)}
    for placeholder, name in names.items():
        text = text.replace(f"{{{placeholder}}}", name)
    return text


@cache
def statement(name: str, schema: str = DEFAULT_SCHEMA) -> LiteralString:
    """Returns the statement of that name, without its comment, for an installation."""
    return fill(_INCLUDE.sub(lambda found: _text(found[1]), _text(name)), schema)


def hint(error: psycopg.Error) -> None:
    """Adds a note to an error of Postgres that means that the engine's tables are missing: what to do about it."""
    if isinstance(error, TABLES_MISSING):
        error.add_note("the schema lacks the engine's tables, or some of its migrations: run `headrace migrate up`")


@cache
def _files() -> Mapping[str, Traversable]:
    """Returns each statement's file by its name, which is unique over all folders."""
    found: dict[str, Traversable] = {}
    for folder in (files(__package__) / "sql").iterdir():
        for file in folder.iterdir():
            name = file.name.removesuffix(".sql")
            if name in found:
                raise RuntimeError(f"two statements are named {name}: {found[name]} and {file}")
            found[name] = file
    return found


def _text(name: str) -> str:
    text = _files()[name].read_text(encoding="utf-8")
    return "\n".join(line for line in text.splitlines() if not line.startswith("--"))
