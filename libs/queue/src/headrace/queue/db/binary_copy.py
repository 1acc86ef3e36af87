"""Rows in the binary format of COPY FROM STDIN. Each function returns one field: its length, then its bytes.

psycopg can write such rows, but adapts every value of every row. A caller of these functions keeps the bytes of what
many rows have in common.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from struct import Struct

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
NULL = b"\xff\xff\xff\xff"
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TEXT_OID = 25
_LENGTH = Struct("!i")
_INT2, _INT4, _INT8 = Struct("!ih"), Struct("!ii"), Struct("!iq")
_TEXT_ARRAY = Struct("!iiiii")


def row_start(fields: int) -> bytes:
    """Returns what begins a row of so many fields."""
    return fields.to_bytes(2, "big")


def blob(value: bytes) -> bytes:
    """Returns a bytea."""
    return _LENGTH.pack(len(value)) + value


def text(value: str) -> bytes:
    """Returns a text, or a value of an enum."""
    return blob(value.encode())


def int2(value: int) -> bytes:
    """Returns a smallint."""
    return _INT2.pack(2, value)


def int4(value: int) -> bytes:
    """Returns an integer."""
    return _INT4.pack(4, value)


def int8(value: int) -> bytes:
    """Returns a bigint or an xid8."""
    return _INT8.pack(8, value)


def timestamptz(value: datetime) -> bytes:
    """Returns a time, which must have a time zone."""
    return _INT8.pack(8, (value - _EPOCH) // _MICROSECOND)


def text_array(values: Collection[str]) -> bytes:
    """Returns an array of texts, which must not be empty."""
    return blob(_TEXT_ARRAY.pack(1, 0, _TEXT_OID, len(values), 1) + b"".join(map(text, values)))


def jsonb(value: str) -> bytes:
    """Returns a jsonb from its JSON text."""
    return blob(b"\x01" + value.encode())
