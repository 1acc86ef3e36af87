"""docs/internals/claiming.md is true: its steps are run on a real Postgres, and every value it prints is compared.

The example has a server of its own, since the transactions of other tests would take ids between its own.
"""

from __future__ import annotations

import json
import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from engine_kinds import FILE, TestKinds
from psycopg.rows import dict_row

from headrace.queue import Door, Kinds, NewJob, WorkerSettings, migrate
from headrace.queue.auditor import INTERVAL, UNCLEAR_FOR
from headrace.queue.completer import Decision, settle_params
from headrace.queue.connections import SETTINGS, STATEMENT_TIMEOUT
from headrace.queue.cursor import PRIORITIES, Cursor, Mark, Sweep
from headrace.queue.embedded import EmbeddedPostgres
from headrace.queue.job import JobState
from headrace.queue.producer import SWEEP_BUDGET
from headrace.queue.rescuer import LEASE
from headrace.queue.statements import statement
from headrace.queue.vigil import FIRST_LOOK, WATCH, Vigil

FOLDER = next(folder for parent in Path(__file__).parents if (folder := parent / "docs/internals").is_dir())
PAGE = (FOLDER / "claiming.md").read_text(encoding="utf-8")
GREET = "headrace.test.v1.Greet"
FIRST_XID = 101
NOT_REACHED = "not reached"

Connection = psycopg.Connection[dict[str, Any]]
Table = list[dict[str, str]]
Key = tuple[int, int]
"""Transaction and id, as in the index below a priority."""


# ── The page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def section(title: str) -> str:
    """The text between a heading that starts like that and the next heading."""
    found = re.search(rf"^#+ {title}.*?\n(?P<text>.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no heading {title!r}"
    return found["text"]


def tables(text: str) -> list[Table]:
    """The tables of a piece of the page, without emphasis and code marks."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *rows = (
            [re.sub(r"[`*]", "", cell).strip() for cell in line.strip("|").split("|")] for line in block.splitlines()
        )
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def numbers(text: str, intro: str) -> list[str]:
    """The list of numbers that follows some words of the page."""
    found = re.search(rf"{intro}(?P<list>[\d*., \n]+\d)", text)
    assert found, f"the page has no list after {intro!r}"
    return re.split(r",\s*", found["list"].strip())


# ── The example ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass
class Claimer:
    """A worker that claims when it is told to."""

    connection: Connection
    worker_id: int
    cursor: Cursor = field(default_factory=Cursor)
    claims: int = 0


@dataclass
class Transaction:
    """A transaction of the example, as the figure draws it."""

    xid: int
    begin: int
    end: int = 0
    outcome: str = "commit"


class Example:
    """The page's steps. Each leaves the tables that the page prints below its heading."""

    ROWS = """
        select job.id, priority, state::text, ready_xid::text, lease, claim_no, worker.name as worker
        from headrace.jobs as job left join headrace.workers as worker on worker.id = job.worker_id
        order by job.id
    """
    READS = "select pg_stat_get_xact_tuples_returned('headrace.jobs_ready'::regclass) as entries"

    def __init__(self, dsn: str, stack: ExitStack) -> None:
        self._dsn = dsn
        self._stack = stack
        self._door = Door(Kinds.of_file(FILE))
        self._observer = self.connect()
        self._report = self.connect()
        self._report.execute("begin isolation level repeatable read")
        self._report.execute("select from headrace.jobs")
        self.a, self.b = self._worker("A"), self._worker("B")
        self._base = self._next_xid() - FIRST_XID
        self._entries: list[tuple[int, int, int]] = []
        """Everything that the index has been given: priority, transaction, id."""
        self.steps: list[list[Table]] = []
        self.transactions: list[Transaction] = []
        self.snapshots: list[tuple[int, str]] = []
        self.places: list[tuple[int, str]] = []
        """Where worker A's cursor stands in priority 2 after each of its claims."""

    def connect(self) -> Connection:
        """One more session."""
        return self._stack.enter_context(psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row))

    def _worker(self, name: str) -> Claimer:
        connection = self.connect()
        for setting, value in SETTINGS.items():
            connection.execute(f"set {setting} = {value}")
        params = {"name": name, "queues": ["email"], "kinds": [GREET], "versions": [1], "slots": 10, "enabled": True}
        [row] = connection.execute(statement("register_worker"), params).fetchall()
        return Claimer(connection, row["id"])

    def _next_xid(self) -> int:
        [row] = self._observer.execute("select pg_snapshot_xmax(pg_current_snapshot())::text as xid").fetchall()
        return int(row["xid"])

    def xid(self, real: int | str) -> int:
        """A transaction id as the page prints it."""
        return int(real) - self._base if int(real) else 0

    @contextmanager
    def step(self, *, before: Connection | None = None, after: Connection | None = None) -> Iterator[list[Table]]:
        """A step, which ends with the rows that it changed, as seen by these sessions."""
        seen = self.rows(before)
        self.steps.append(shown := [])
        yield shown
        if changed := [row for row in self.rows(after) if row not in seen]:
            shown.append(changed)

    def rows(self, connection: Connection | None = None) -> Table:
        """The jobs as a session sees them."""
        rows = (connection or self._observer).execute(self.ROWS).fetchall()
        for row in rows:
            row["ready_xid"] = row["ready_xid"] and self.xid(row["ready_xid"])
        return [{name: "NULL" if value is None else str(value) for name, value in row.items()} for row in rows]

    def begins(self, connection: Connection) -> None:
        """The session's transaction has written something for the first time."""
        [row] = connection.execute("select pg_current_xact_id_if_assigned()::text as xid").fetchall()
        if row["xid"] is not None:
            self.transactions.append(Transaction(self.xid(row["xid"]), len(self.steps)))

    def ends(self, xid: int, outcome: str = "commit") -> None:
        """A transaction is over."""
        [transaction] = [each for each in self.transactions if each.xid == xid]
        transaction.end, transaction.outcome = len(self.steps), outcome

    @contextmanager
    def transaction(self, connection: Connection) -> Iterator[None]:
        """A transaction that begins and is committed within the step."""
        with connection.transaction():
            yield
            self.begins(connection)
        for each in self.transactions:
            each.end = each.end or (len(self.steps) if each.begin == len(self.steps) else 0)

    def enqueue(self, connection: Connection, *priorities: int) -> None:
        """Enqueues one job of each of these priorities."""
        jobs = [NewJob(TestKinds.Greet(), queue="email", priority=priority) for priority in priorities]
        self._door.accept(connection, jobs)
        self.note_entries(connection)

    def note_entries(self, connection: Connection) -> None:
        """Adds what the index has been given since."""
        for row in self.rows(connection):
            if row["ready_xid"] != "NULL":
                entry = (int(row["priority"]), int(row["ready_xid"]), int(row["id"]))
                self._entries += [entry] if entry not in self._entries else []

    def claim(self, worker: Claimer, limit: int, *, sweep: Sweep | None = None, answered: bool = True) -> list[Table]:
        """A claim, as worker and database make it; the claim's mark and the way of its cursor."""
        worker.claims += 1
        place = sweep or worker.cursor
        params = place.params()
        starts = self._places(worker.cursor) if sweep is None else dict.fromkeys(PRIORITIES, (0, 0))
        fixed = {"worker_id": worker.worker_id, "claim_no": worker.claims, "queue": "email", "limit": limit}
        committed = {row["id"]: row["ready_xid"] for row in self.rows()}
        [before] = worker.connection.execute(self.READS).fetchall()
        [first, *jobs] = worker.connection.execute(
            statement("claim"), {**params, **fixed, "kinds": [GREET], "versions": [1]}, prepare=True
        ).fetchall()
        [after] = worker.connection.execute(self.READS).fetchall()
        text = json.loads(first["mark"])
        mark = Mark.parse(text)
        assert mark is not None
        if sweep is not None:
            assert sweep.advance(mark, seconds=0.0, budget=SWEEP_BUDGET), "the sweep is over"
        elif answered:
            worker.cursor.advance(mark)
        taken = {job["id"] for job in jobs}
        below = self.xid(params["below"]) if sweep is not None else None
        late, fresh = self._reads(starts, self._xids(params["open"]), mark, taken, below)
        entries = [entry for read in (*late.values(), *fresh.values()) for entry in read or ()]
        assert after["entries"] - before["entries"] == len(entries), "Postgres has read other entries of the index"

        def shown(read: list[Key] | None) -> str:
            if read is None:
                return NOT_REACHED
            return ", ".join(f"{key} {self._fate(key, taken, committed)}" for key in read) or "none"

        ends = self._places(worker.cursor)
        snapshot = re.sub(r"\d+", lambda found: str(self.xid(found[0])), text["snapshot"])
        self.snapshots.append((len(self.steps), snapshot))
        if worker is self.a:
            self.places.append((len(self.steps), str(ends[2])))
        last = mark.last and (mark.last[0], self.xid(mark.last[1]), mark.last[2])
        now_open = ", ".join(map(str, sorted(map(self.xid, worker.cursor._open)))) or "none"
        was_open = ", ".join(map(str, sorted(self._xids(params["open"])))) or "none"
        head = {
            "snapshot": snapshot,
            "late": str(mark.late),
            "fresh": str(mark.fresh),
            "last": str(last or "none"),
            "limit": str(mark.limit),
            "full": "yes" if mark.full else "no",
            "index entries read": str(len(entries)),
        }
        if sweep is not None:
            return [
                [head],
                [
                    {"priority": str(each), "from": "(0, 0)", "sweep reads": shown(fresh[each]), "below": f"({below}, 0)"}
                    for each in PRIORITIES
                ],
            ]
        way = [
            {
                "priority": str(each),
                "cursor before": str(starts[each]),
                "late reads": shown(late[each]),
                "fresh reads": shown(fresh[each]),
                "cursor after": str(ends[each]),
            }
            for each in PRIORITIES
        ]
        opened = {"priority": "open", "cursor before": was_open, "late reads": "", "fresh reads": "", "cursor after": now_open}
        return [[head], [*way, opened]]

    def _places(self, cursor: Cursor) -> dict[int, Key]:
        return {priority: (self.xid(xid), id_) for priority, (xid, id_) in cursor._after.items()}

    def _xids(self, array: str) -> set[int]:
        return {self.xid(xid) for xid in array.strip("{}").split(",") if xid}

    def _reads(
        self, starts: Mapping[int, Key], opened: set[int], mark: Mark, taken: set[int], below: int | None
    ) -> tuple[dict[int, list[Key]], dict[int, list[Key] | None]]:
        """What the claim should have read of the index: by the parts late and fresh, per priority."""
        ended = opened - {self.xid(xid) for xid in mark.in_progress}
        late: dict[int, list[Key]] = {}
        fresh: dict[int, list[Key] | None] = {}
        left = mark.fresh
        for priority in PRIORITIES:
            keys = sorted((xid, id_) for each, xid, id_ in self._entries if each == priority)
            late[priority] = [key for key in keys if key <= starts[priority] and key[0] in ended]
            if mark.full and left == 0:
                fresh[priority] = None
                continue
            read = fresh[priority] = []
            for key in keys:
                if key > starts[priority] and (below is None or key[0] < below) and not (mark.full and left == 0):
                    read.append(key)
                    left -= key[1] in taken
        return late, fresh

    @staticmethod
    def _fate(key: Key, taken: set[int], committed: Mapping[str, str]) -> str:
        xid, id_ = key
        if str(id_) not in committed:
            return "open"
        if committed[str(id_)] != str(xid):
            return "dead"
        return "taken" if id_ in taken else "locked"


def run(example: Example) -> None:
    """The fourteen steps."""
    p1, p2, p3, scheduler = (example.connect() for _ in range(4))
    a, b = example.a, example.b

    with example.step(after=p1):  # 1
        p1.execute("begin")
        example.enqueue(p1, 2)
        example.begins(p1)
    with example.step(), example.transaction(p2):  # 2
        example.enqueue(p2, 2, 2, 3)
    with example.step() as shown, example.transaction(a.connection):  # 3
        shown += example.claim(a, 2)
    with example.step():  # 4
        p1.execute("commit")
        example.ends(101)
    with example.step() as shown, example.transaction(a.connection):  # 5
        shown += example.claim(a, 10)

    with example.step(), example.transaction(p3):  # 6
        example.enqueue(p3, 2)
    with example.step(after=b.connection) as shown:  # 7
        b.connection.execute("begin")
        shown += example.claim(b, 10, answered=False)
        example.begins(b.connection)
    with example.step() as shown, example.transaction(a.connection):  # 8
        shown += example.claim(a, 10)
    with example.step(before=b.connection):  # 9
        pid = b.connection.info.backend_pid
        p1.execute("select pg_terminate_backend(%s, 10000)", (pid,))
        example.ends(106, "rollback")
    with example.step() as shown, example.transaction(a.connection):  # 10
        shown += example.claim(a, 10)
    with example.step() as shown, example.transaction(a.connection):  # 11
        shown += example.claim(a, 10, sweep=Sweep(a.cursor))

    outcomes = example.connect()
    with example.step():  # 12
        with example.transaction(outcomes):
            outcomes.execute(statement("complete"), {"ids": [1, 3, 4, 5], "leases": [1, 1, 1, 1]})
        with example.transaction(outcomes):
            outcomes.execute(statement("settle"), settle_params([(2, 1, Decision(JobState.RETRYABLE))]))
    with example.step(), example.transaction(scheduler):  # 13
        scheduler.execute(statement("promote"), {"limit": 1000})
        example.note_entries(scheduler)
    with example.step() as shown, example.transaction(a.connection):  # 14
        shown += example.claim(a, 10)


@pytest.fixture(scope="module")
def example() -> Iterator[Example]:
    """The example, run to its end."""
    version = os.environ.get("HEADRACE_TEST_POSTGRES")
    settings = {"fsync": "off", "autovacuum": "off"}
    with EmbeddedPostgres(version=int(version) if version else None, settings=settings) as server, ExitStack() as stack:
        migrate.up(server.dsn())
        example = Example(server.dsn(), stack)
        run(example)
        yield example


