"""Has Postgres explain each of the engine's statements just before it runs: what it reads, and how many pages of it.

The explained run is the real one: the same connection with its settings, the same parameters, the same moment, in a
transaction that is rolled back. As a prepared statement, so that a worker's settings give it the generic plan which it
runs with.
"""

from __future__ import annotations

import itertools
import json
import re
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import psycopg
from psycopg.adapt import PyFormat, Transformer

from headrace.queue.db.statements import statement

LARGE = frozenset({"jobs", "idempotency_keys", "unique_keys"})
"""The tables that grow with the jobs. Reading any other as a whole is right: it is a page or two."""
EACH = 40
"""How often a statement is explained at most: a worker runs some of them all the time."""
NAMES = {
    statement(file.name.removesuffix(".sql")): file.name.removesuffix(".sql")
    for folder in (files("headrace.queue.db") / "sql").iterdir()
    for file in folder.iterdir()
    if file.name not in ("matching.sql", "expect_tagged.sql")  # a part of others; and an explanation itself
}
_numbers = itertools.count(1)


@dataclass
class Reading:
    """What a statement, or all that a question asks, has read at most.

    Attributes:
        buffers: Pages, of tables and indexes, each time one was looked at.
        milliseconds: On the server.
        reads: The indexes of large tables, and «seq» with the name of one that was read without.
    """

    buffers: int = 0
    milliseconds: float = 0.0
    reads: set[str] = field(default_factory=set)

    @property
    def scanned(self) -> bool:
        """Whether a large table was read as a whole."""
        return any(read.startswith("seq ") for read in self.reads)

    def add(self, other: Reading) -> None:
        """What was read one after the other."""
        self.buffers += other.buffers
        self.milliseconds += other.milliseconds
        self.reads |= other.reads

    def worst(self, other: Reading) -> None:
        """The larger of the two."""
        self.buffers = max(self.buffers, other.buffers)
        self.milliseconds = max(self.milliseconds, other.milliseconds)
        self.reads |= other.reads


class Readings:
    """What was read, by statement or by question. There is one for the process."""

    def __init__(self) -> None:
        self.found: dict[str, Reading] = {}
        self._seen: dict[str, int] = defaultdict(int)
        self._question: Reading | None = None
        self._steps = ""

    @contextmanager
    def question(self, name: str) -> Iterator[None]:
        """All statements within count as one, by that name."""
        self._question = self.found[name] = Reading()
        yield
        self._question = None

    @contextmanager
    def steps(self, name: str) -> Iterator[None]:
        """The largest of the statements within counts, by that name: they are steps, as many as there is to do."""
        self._steps = name
        yield
        self._steps = ""

    def wants(self, name: str) -> bool:
        """Whether a statement is still to be explained."""
        self._seen[name] += 1
        return self._question is not None or self._steps != "" or self._seen[name] <= EACH

    def note(self, name: str, reading: Reading) -> None:
        """A statement was explained."""
        if self._question is not None:
            self._question.add(reading)
        else:
            self.found.setdefault(self._steps or name, Reading()).worst(reading)

    def take(self) -> dict[str, Reading]:
        """Returns what there is, and forgets it."""
        found, self.found = self.found, {}
        self._seen.clear()
        return found


readings = Readings()


@contextmanager
def explained() -> Iterator[None]:
    """Meanwhile every statement of the engine's that this process runs is explained, on whatever connection."""
    execute = psycopg.AsyncCursor.execute

    async def explaining(cursor: psycopg.AsyncCursor[Any], query: Any, params: Any = None, **kwargs: Any) -> Any:
        name = NAMES.get(query) if isinstance(query, str) else None
        if name is not None and readings.wants(name):
            readings.note(name, await explain(cursor.connection, query, params or {}))
        return await execute(cursor, query, params, **kwargs)

    psycopg.AsyncCursor.execute = explaining  # type: ignore[assignment]
    try:
        yield
    finally:
        psycopg.AsyncCursor.execute = execute  # type: ignore[method-assign]


async def explain(connection: psycopg.AsyncConnection[Any], query: str, params: dict[str, Any]) -> Reading:
    """Runs a statement, rolls it back, and returns what it has read."""
    name = f"explained_{next(_numbers)}"
    order: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in order:
            order.append(found[1])
        return f"${order.index(found[1]) + 1}"

    text = re.sub(r"%\((\w+)\)s", number, query).replace("%%", "%")
    types = f" ({', '.join(_type(connection, params[each]) for each in order)})" if order else ""
    given = ", ".join(f"%({each})s" for each in order)
    async with psycopg.AsyncClientCursor(connection) as cursor:
        cursor.row_factory = psycopg.rows.tuple_row
        async with connection.transaction(force_rollback=True):
            await cursor.execute(f"prepare {name}{types} as {text}")
            run = f"execute {name}({given})" if order else f"execute {name}"
            await cursor.execute(f"explain (analyze, buffers, format json) {run}", params)
            [[answer]] = await cursor.fetchall()
            await cursor.execute(f"deallocate {name}")
    [told] = answer if isinstance(answer, list) else json.loads(answer)
    plan = told["Plan"]
    return Reading(
        plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] + plan["Temp Read Blocks"],
        told["Execution Time"],
        set(_reads(plan)),
    )


def _type(connection: psycopg.AsyncConnection[Any], value: Any) -> str:
    """The type that psycopg sends a parameter as; «unknown» where Postgres is to find it out."""
    oid = 0 if value is None else Transformer(connection).get_dumper(value, PyFormat.AUTO).oid
    if not oid:
        return "unknown"
    base = connection.adapters.types[oid]
    return f"{base.name}[]" if oid == base.array_oid else base.name


def _reads(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan" and plan["Relation Name"] in LARGE and plan["Actual Loops"]:
        yield f"seq {plan['Relation Name']}"
    elif "Index Name" in plan and plan["Actual Loops"]:
        yield plan["Index Name"]
    for part in plan.get("Plans", []):
        yield from _reads(part)
