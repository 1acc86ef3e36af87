"""`make lookups ROWS=n`: what lookups and frequent statements read beside n finished jobs, and beside 50,000.

It is about pages, not about time: a page count is the same on every machine, however busy. Nothing may read a large
table as a whole, and nothing may read more than a bounded number of times what it reads beside few. Needs about a
kilobyte of disk per row in the temporary folder, which is empty again afterwards. The last line is the verdict, and the
exit code follows it.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import shutil
import sys
import tempfile
import time
from collections.abc import Callable

import psycopg

from headrace.embedded_postgres import EmbeddedPostgres
from tests.lookups.dataset import fill
from tests.lookups.queries import HOT, ask, work
from tests.lookups.query_plans import NAMES, Reading, explained, readings

FEW = 50_000
RATIO, SLACK = 3.0, 200
"""How many times as many pages may be read as beside few jobs, and how many more: an index is a level or two deeper, a
worker's batches are not the same size twice, and some statements look at what it has in flight, which may be nothing.
What goes through a table reads a hundred times as many."""
LOOK = 25_000
"""Pages that a list may read in any case: a lookup reads about 20,000 jobs, at worst each on a separate page."""
BYTES_PER_ROW = 1_500
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "256MB",
    "max_wal_size": "1GB",
    "maintenance_work_mem": "256MB",
}


def main() -> int:
    """Runs once; returns the exit code."""
    parser = argparse.ArgumentParser(prog="make lookups", description=__doc__)
    parser.add_argument("--rows", type=int, default=5_000_000, help="how many finished jobs (default: 5000000)")
    rows: int = parser.parse_args().rows
    if rows < FEW:
        parser.error(f"--rows: expected at least {FEW}, got {rows}")
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if free < rows * BYTES_PER_ROW:
        parser.error(
            f"{rows:,} rows need {rows * BYTES_PER_ROW >> 30} GiB in {tempfile.gettempdir()}; {free >> 30} are free"
        )
    began = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began:7.1f} s  {text}", flush=True)

    logging.disable(logging.WARNING)  # jobs that fail on purpose
    with EmbeddedPostgres(settings=SETTINGS) as server, explained():
        few = measured(server, FEW, say)
        many = measured(server, rows, say)
    wrong = table(few, many, rows)
    about = f"{len(many)} statements and questions, {rows:,} rows, {time.monotonic() - began:.0f} s"
    print(f"\nBROKEN: {len(wrong)} of {about}: {'; '.join(wrong)}" if wrong else f"\nHELD: {about}")
    return 1 if wrong else 0


def measured(server: EmbeddedPostgres, rows: int, say: Callable[[str], None]) -> dict[str, Reading]:
    """The pages read beside this many rows, in a separate database."""
    name = f"lookups_{rows}"
    with psycopg.connect(server.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name}")
        fill(server.dsn(name), rows, say)
        asyncio.run(work(server.dsn(name)))
        with psycopg.connect(server.dsn(name), autocommit=True) as connection:
            connection.execute("vacuum (index_cleanup on) headrace.jobs")  # as autovacuum would, later
        say("a worker has done a thousand jobs beside them")
        asyncio.run(ask(server.dsn(name), rows))
        say("every question is asked")
        admin.execute(f"drop database {name} with (force)")
    return readings.take()


def ratio(few: Reading, many: Reading) -> float:
    """How many times as much is read."""
    return many.buffers / max(few.buffers, 1)


def bounded(name: str, few: Reading, many: Reading) -> bool:
    """Whether what is read does not depend on how many jobs there are."""
    allowed = RATIO * few.buffers + SLACK
    return many.buffers <= (allowed if name in NAMES.values() else max(allowed, LOOK))


def table(few: dict[str, Reading], many: dict[str, Reading], rows: int) -> list[str]:
    """Prints what was read; returns what should not have been."""
    wrong = [f"{name} was never run" for name in HOT if name not in many]
    print(f"\n{'pages read beside':<44}{FEW:>10,}{rows:>12,}   ratio       ms  reads")
    for name in sorted(many, key=lambda name: (" " in name, name)):
        before, after = few.get(name, Reading()), many[name]
        told = "" if bounded(name, before, after) and not after.scanned else "  ✗"
        print(
            f"{name:<44}{before.buffers:>10,}{after.buffers:>12,}{ratio(before, after):>8.1f}{after.milliseconds:>9.2f}"
            f"  {', '.join(sorted(after.reads))}{told}"
        )
        if after.scanned:
            wrong.append(f"{name} reads a large table as a whole")
        elif told:
            wrong.append(f"{name} reads {after.buffers:,} pages instead of {before.buffers:,}")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
