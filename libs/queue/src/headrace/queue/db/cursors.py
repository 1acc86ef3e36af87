"""The engine's cursors: they convert values in the engine's own way, whatever the caller's connection is set up for.

Django, for example, loads jsonb as text, and a SQLAlchemy engine may have its own `json_deserializer`.
"""

from __future__ import annotations

import json
from typing import Any

import psycopg
from psycopg.adapt import AdaptersMap
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import set_json_dumps, set_json_loads

ADAPTERS = AdaptersMap(psycopg.adapters)
set_json_loads(json.loads, ADAPTERS)
set_json_dumps(json.dumps, ADAPTERS)


class Cursor(psycopg.Cursor[DictRow]):
    """A blocking cursor with the engine's adapters and dict rows. Ignores the connection's `cursor_factory`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__(connection, row_factory=dict_row)

    @property
    def adapters(self) -> AdaptersMap:
        """How values are converted."""
        return ADAPTERS


class AsyncCursor(psycopg.AsyncCursor[DictRow]):
    """The asynchronous form of `Cursor`."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        super().__init__(connection, row_factory=dict_row)

    @property
    def adapters(self) -> AdaptersMap:
        """How values are converted."""
        return ADAPTERS
