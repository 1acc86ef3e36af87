"""The migrations in the package: numbered pairs of plain SQL files, up and down.

A file whose first line says so runs statement by statement outside of transactions, as `create index concurrently`
requires. It can be run again after it was interrupted. Every other file runs in one transaction. `{function name}`
in a file is replaced by functions/name.sql, so that the text of a function stands in one place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import LiteralString

from headrace.queue.db.statements import fill

OUTSIDE = "-- outside of transactions"
_FILE_NAME = re.compile(r"(\d{4})_(\w+)\.up\.sql")
_FUNCTION = re.compile(r"\{function (\w+)\}")


@dataclass(frozen=True)
class MigrationFile:
    """A migration's two texts."""

    version: int
    name: str
    up: str
    down: str

    def __str__(self) -> str:
        return f"{self.version:04}_{self.name}"

    @property
    def checksum(self) -> str:
        """Of what `up` does."""
        return hashlib.sha256(self.up.encode()).hexdigest()

    def statements(self, text: str, schema: str) -> Iterator[LiteralString]:
        """What is to be run one by one for one of the texts: the whole of it, where it is a transaction."""
        filled = fill(text, schema)
        if not text.startswith(OUTSIDE):
            yield filled
            return
        bare = "\n".join(line for line in filled.splitlines() if not line.startswith("--"))
        yield from (each.strip() for each in bare.split(";") if each.strip())


@cache
def migration_files() -> tuple[MigrationFile, ...]:
    """All of them, in order."""
    folder = files(__package__) / "migrations"
    found = []
    for file in folder.iterdir():
        if match := _FILE_NAME.fullmatch(file.name):
            down = folder / file.name.replace(".up.", ".down.")
            found.append(MigrationFile(int(match[1]), match[2], _read(file), _read(down)))
    return tuple(sorted(found, key=lambda file: file.version))


def _read(file: Traversable) -> str:
    functions = files(__package__) / "functions"
    text = file.read_text(encoding="utf-8")
    return _FUNCTION.sub(lambda found: (functions / f"{found[1]}.sql").read_text(encoding="utf-8"), text)
