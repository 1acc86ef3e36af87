"""The SQL of the engine: one file per statement in sql/, in a folder per sub-package, named for what it does.

`{schema}`, `{channel}` and `{events}` in a statement stand for the installation's schema and its notification channels,
`{include name}` for the text of another file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, LiteralString

import psycopg
from psycopg.rows import dict_row

DEFAULT_SCHEMA = "headrace"
NOT_THERE = (
    psycopg.errors.InvalidSchemaName,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedColumn,
    psycopg.errors.UndefinedFunction,
    psycopg.errors.UndefinedObject,
)
_INCLUDE = re.compile(r"\{include (\w+)\}")
_SCHEMA_NAME = re.compile(r"[a-z_][a-z0-9_]{0,40}")


def checked_schema(schema: str) -> str:
    """The schema's name, if it is one that needs no quoting.

    Raises:
        ValueError: It isn't.
    """
    if not _SCHEMA_NAME.fullmatch(schema):
        raise ValueError(f"schema name {schema!r}: use up to 41 lower-case letters, digits and underscores")
    return schema


def ready_channel(schema: str) -> str:
    """The channel on which a queue's name is notified when jobs of it have come into line."""
    return f"{checked_schema(schema)}_ready"


def events_channel(schema: str) -> str:
    """The channel on which workers tell what happens to jobs."""
    return f"{checked_schema(schema)}_events"


def fill(text: str, schema: str) -> LiteralString:
    """A text of ours with the installation's names in it; safe to execute, since those are checked."""
    names = {"schema": checked_schema(schema), "channel": ready_channel(schema), "events": events_channel(schema)}
    for placeholder, name in names.items():
        text = text.replace(f"{{{placeholder}}}", name)
    return text


@cache
def statement(name: str, schema: str = DEFAULT_SCHEMA) -> LiteralString:
    """The statement of that name, without its comment, for an installation."""
    return fill(_INCLUDE.sub(lambda found: _text(found[1]), _text(name)), schema)


def hint(error: psycopg.Error) -> None:
    """Adds to an error of Postgres what to do, where it is that a statement's tables are not there."""
    if isinstance(error, NOT_THERE):
        error.add_note("the installation's tables are not there, or lack migrations: run `headrace migrate up`")


async def rows(
    connection: psycopg.AsyncConnection[Any], name: str, params: Mapping[str, Any] | None = None, *, schema: str
) -> list[dict[str, Any]]:
    """What the statement of that name answers on a caller's connection.

    Raises:
        TypeError: The connection is of another kind.
    """
    if not isinstance(connection, psycopg.AsyncConnection):
        given = f"{type(connection).__module__}.{type(connection).__qualname__}"
        raise TypeError(f"jobs are looked at, and acted on, over a psycopg.AsyncConnection; this is a {given}")
    # The class is named, since a connection may have been given cursors with another style of parameters.
    async with psycopg.AsyncCursor(connection, row_factory=dict_row) as cursor:
        try:
            await cursor.execute(statement(name, schema), params)
        except psycopg.Error as error:
            hint(error)
            raise
        return await cursor.fetchall() if cursor.description else []


@cache
def _files() -> Mapping[str, Traversable]:
    """Every statement's file by its name, which is unique over all folders."""
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
