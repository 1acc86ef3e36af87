"""Lists as array literals, for statements that are given many rows at once: `%(queues)s::text[]`.

psycopg can write lists, too, but asks for each element what it is and how to write it; for a thousand jobs of fifteen
columns that takes longer than Postgres does.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime


def numbers(values: Iterable[int | None]) -> str:
    """An array of numbers."""
    return "{" + ",".join(["null" if value is None else str(value) for value in values]) + "}"


def texts(values: Iterable[str | None]) -> str:
    """An array of texts; or of anything else that Postgres reads from text, such as JSON or arrays."""
    return "{" + ",".join(["null" if value is None else _quoted(value) for value in values]) + "}"


def blobs(values: Iterable[bytes | None]) -> str:
    """An array of bytes."""
    return "{" + ",".join(["null" if value is None else f'"\\\\x{value.hex()}"' for value in values]) + "}"


def times(values: Iterable[datetime | None]) -> str:
    """An array of times, which have time zones."""
    return texts(None if value is None else value.isoformat() for value in values)


def _quoted(value: str) -> str:
    if "\\" in value or '"' in value:
        value = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{value}"'
