"""The example of docs/internals/claiming.md, run on a real Postgres: fourteen steps of claiming by two workers.

Each step leaves the tables that the page prints below its heading, in the page's own words. Transaction ids are
counted from the page's first one, so the server must be the example's own: any other transaction would take an id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import psycopg
from engine_kinds import FILE, TestKinds
from psycopg.rows import dict_row

from headrace.queue import Enqueuer, Kinds, NewJob
from headrace.queue.claiming.cursor import PRIORITIES, Cursor, Mark, Sweep
from headrace.queue.claiming.pipeline import SWEEP_BUDGET
from headrace.queue.completion.completer import settle_params
from headrace.queue.db.connections import SETTINGS
from headrace.queue.db.statements import statement
from headrace.queue.execution.attempt_result import AttemptResult
from headrace.queue.job import JobState

FIRST_XID = 101
KIND = "headrace.test.v1.Greet"
ROWS = """
    select job.id, priority, state::text, ready_xid::text, lease, claim_no, worker.name as worker
    from headrace.jobs as job left join headrace.workers as worker on worker.id = job.worker_id
    order by job.id
"""
ENTRIES_READ = "select pg_stat_get_xact_tuples_returned('headrace.jobs_ready'::regclass) as entries"

Connection = psycopg.Connection[dict[str, Any]]
Table = list[dict[str, str]]
Key = tuple[int, int]
"""Transaction and id: a job's place within its priority."""


@dataclass
class Claimer:
    """A worker that claims when it is told to."""

    connection: Connection
    worker_id: int
    cursor: Cursor = field(default_factory=Cursor)
    claims: int = 0


@dataclass
class Transaction:
    """A transaction, with the steps in which it began and ended."""

    xid: int
    begin: int
    end: int
    outcome: str = "commit"


class Example:
    """The example's sessions, and what has happened so far."""

    def __init__(self, dsn: str, stack: ExitStack) -> None:
        self._dsn = dsn
        self._stack = stack
        self._enqueuer = Enqueuer(Kinds.of_file(FILE))
        self._observer = self._connect()
        report = self._connect()
        report.execute("begin isolation level repeatable read")
        report.execute("select from headrace.jobs")
        self._a, self._b = self._worker("A"), self._worker("B")
        [row] = self._observer.execute("select pg_snapshot_xmax(pg_current_snapshot())::text as xid").fetchall()
        self._offset = int(row["xid"]) - FIRST_XID
        self._entries: set[tuple[int, Key]] = set()
        """Everything that was ever put into the index jobs_ready. Nothing is removed while the report runs."""
        self.steps: list[list[Table]] = []
        self.transactions: list[Transaction] = []
        self.snapshots: list[tuple[int, str]] = []
        self.places: list[tuple[int, str]] = []
        """Where worker A's cursor stands in priority 2 after each of its claims."""

    def run(self) -> None:
        """The fourteen steps."""
        p1, p2, p3, other = (self._connect() for _ in range(4))
        a, b = self._a, self._b

        with self._step(after=p1):  # 1
            p1.execute("begin")
            self._enqueue(p1, 2)
            self._note_transaction(p1)
        with self._step(), self._transaction(p2):  # 2
            self._enqueue(p2, 2, 2, 3)
        with self._step(), self._transaction(a.connection):  # 3
            self._claim(a, limit=2)
        with self._step():  # 4
            p1.execute("commit")
            self._note_end(101)
        with self._step(), self._transaction(a.connection):  # 5
            self._claim(a)

        with self._step(), self._transaction(p3):  # 6
            self._enqueue(p3, 2)
        with self._step(after=b.connection):  # 7
            b.connection.execute("begin")
            self._claim(b, answered=False)
            self._note_transaction(b.connection)
        with self._step(), self._transaction(a.connection):  # 8
            self._claim(a)
        with self._step(before=b.connection):  # 9
            other.execute("select pg_terminate_backend(%s, 10000)", (b.connection.info.backend_pid,))
            b.connection.close()
            self._note_end(106, "rollback")
        with self._step(), self._transaction(a.connection):  # 10
            self._claim(a)
        with self._step(), self._transaction(a.connection):  # 11
            self._sweep(a)

        with self._step():  # 12
            with self._transaction(other):
                other.execute(statement("complete"), {"ids": [1, 3, 4, 5], "leases": [1, 1, 1, 1]})
            with self._transaction(other):
                other.execute(statement("settle"), settle_params([(2, 1, AttemptResult(JobState.RETRYABLE))]))
        with self._step(), self._transaction(other):  # 13
            other.execute(statement("promote"), {"limit": 1000})
            self._note_entries(other)
        with self._step(), self._transaction(a.connection):  # 14
            self._claim(a)

    def _connect(self) -> Connection:
        return self._stack.enter_context(psycopg.connect(self._dsn, autocommit=True, row_factory=dict_row))

    def _worker(self, name: str) -> Claimer:
        connection = self._connect()
        for setting, value in SETTINGS.items():
            connection.execute(f"set {setting} = {value}")
        params = {"name": name, "queues": ["email"], "kinds": [KIND], "versions": [1], "slots": 10, "enabled": True}
        [row] = connection.execute(statement("register_worker"), params).fetchall()
        return Claimer(connection, row["id"])

    def _enqueue(self, connection: Connection, *priorities: int) -> None:
        jobs = [NewJob(TestKinds.Greet(), queue="email", priority=priority) for priority in priorities]
        self._enqueuer.enqueue_many(connection, jobs)
        self._note_entries(connection)

    # What has happened

    @contextmanager
    def _step(self, *, before: Connection | None = None, after: Connection | None = None) -> Iterator[None]:
        """A step. Its last table is the rows that it changed, as seen by these sessions."""
        seen = self._rows(before)
        self.steps.append([])
        yield
        if changed := [row for row in self._rows(after) if row not in seen]:
            self.steps[-1].append(changed)

    @contextmanager
    def _transaction(self, connection: Connection) -> Iterator[None]:
        """A transaction that is committed within its step."""
        with connection.transaction():
            yield
            self._note_transaction(connection)

    def _rows(self, connection: Connection | None = None) -> Table:
        """The jobs as a session sees them; the observer sees what is committed."""
        rows = (connection or self._observer).execute(ROWS).fetchall()
        for row in rows:
            row["ready_xid"] = row["ready_xid"] and self._xid(row["ready_xid"])
        return [{name: "NULL" if value is None else str(value) for name, value in row.items()} for row in rows]

    def _note_transaction(self, connection: Connection) -> None:
        [row] = connection.execute("select pg_current_xact_id_if_assigned()::text as xid").fetchall()
        if row["xid"] is not None:
            self.transactions.append(Transaction(self._xid(row["xid"]), len(self.steps), len(self.steps)))

    def _note_end(self, xid: int, outcome: str = "commit") -> None:
        [transaction] = [each for each in self.transactions if each.xid == xid]
        transaction.end, transaction.outcome = len(self.steps), outcome

    def _note_entries(self, connection: Connection) -> None:
        self._entries |= {
            (int(row["priority"]), (int(row["ready_xid"]), int(row["id"])))
            for row in self._rows(connection)
            if row["ready_xid"] != "NULL"
        }

    # Claims

    def _claim(self, worker: Claimer, *, limit: int = 10, answered: bool = True) -> None:
        """A claim: its mark, and how far the cursor has come by it."""
        params = worker.cursor.params()
        before, opened = self._places(worker.cursor), self._xids(params["open"])
        mark, head, fates = self._send(worker, params, limit)
        if answered:
            worker.cursor.advance(mark)
        after = self._places(worker.cursor)
        if worker is self._a:
            self.places.append((len(self.steps), str(after[2])))

        ended = opened - {self._xid(xid) for xid in mark.in_progress}
        left = mark.fresh
        way: Table = []
        read = 0
        for priority in PRIORITIES:
            fates_here = {key: fate for key, fate in fates[priority].items() if key <= before[priority]}
            late = {key: fate for key, fate in fates_here.items() if key[0] in ended}
            fresh: dict[Key, str] | None = None
            if not mark.full or left > 0:
                fresh = {}
                for key, fate in fates[priority].items():
                    if key > before[priority] and not (mark.full and left == 0):
                        fresh[key] = fate
                        left -= fate == "taken"
            read += len(late) + len(fresh or ())
            way.append(
                {
                    "priority": str(priority),
                    "cursor before": str(before[priority]),
                    "late reads": _entries(late),
                    "fresh reads": "not reached" if fresh is None else _entries(fresh),
                    "cursor after": str(after[priority]),
                }
            )
        assert head["index entries read"] == str(read), "Postgres has read other entries of the index"
        now = self._xids(worker.cursor.params()["open"])
        sets = {"priority": "open", "cursor before": _xids(opened), "late reads": "", "fresh reads": ""}
        self.steps[-1] += [head], [*way, {**sets, "cursor after": _xids(now)}]

    def _sweep(self, worker: Claimer) -> None:
        """A sweep of one span: its mark, and what it has read."""
        sweep = Sweep(worker.cursor)
        params = sweep.params()
        below = self._xid(params["below"])
        mark, head, fates = self._send(worker, params, limit=10)
        assert sweep.advance(mark, seconds=0.0, budget=SWEEP_BUDGET), "it has come to its end"
        read = {priority: {k: v for k, v in fates[priority].items() if k < (below, 0)} for priority in PRIORITIES}
        assert head["index entries read"] == str(sum(map(len, read.values()))), "Postgres has read other entries"
        way = [
            {"priority": str(each), "from": "(0, 0)", "sweep reads": _entries(read[each]), "below": f"({below}, 0)"}
            for each in PRIORITIES
        ]
        self.steps[-1] += [head], way

    def _send(
        self, worker: Claimer, params: Mapping[str, Any], limit: int
    ) -> tuple[Mark, dict[str, str], dict[int, dict[Key, str]]]:
        """Runs the claim. Returns its mark, also as printed, and what it makes of each entry of the index."""
        worker.claims += 1
        given = {"worker_id": worker.worker_id, "claim_no": worker.claims, "queue": "email", "limit": limit}
        committed = {int(row["id"]): row["ready_xid"] for row in self._rows()}
        connection = worker.connection
        [before] = connection.execute(ENTRIES_READ).fetchall()
        [first, *jobs] = connection.execute(
            statement("claim"), {**params, **given, "kinds": [KIND], "versions": [1]}, prepare=True
        ).fetchall()
        [after] = connection.execute(ENTRIES_READ).fetchall()
        text = json.loads(first["mark"])
        mark = Mark.parse(text)
        assert mark is not None
        snapshot = re.sub(r"\d+", lambda found: str(self._xid(found[0])), text["snapshot"])
        self.snapshots.append((len(self.steps), snapshot))
        last = mark.last and (mark.last[0], self._xid(mark.last[1]), mark.last[2])
        printed = {
            "snapshot": snapshot,
            "late": str(mark.late),
            "fresh": str(mark.fresh),
            "last": str(last or "none"),
            "limit": str(mark.limit),
            "full": "yes" if mark.full else "no",
            "index entries read": str(after["entries"] - before["entries"]),
        }
        taken = {job["id"] for job in jobs}
        fates: dict[int, dict[Key, str]] = {priority: {} for priority in PRIORITIES}
        for priority, key in sorted(self._entries):
            fates[priority][key] = _fate(key, taken, committed)
        return mark, printed, fates

    def _xid(self, real: int | str) -> int:
        """A transaction id as the page prints it."""
        return int(real) - self._offset if int(real) else 0

    def _xids(self, array: str) -> set[int]:
        return {self._xid(xid) for xid in array.strip("{}").split(",") if xid}

    def _places(self, cursor: Cursor) -> dict[int, Key]:
        """Where the cursor stands in each priority."""
        params = cursor.params()
        xids = map(self._xid, params["after_xids"].strip("{}").split(","))
        keys = zip(xids, params["after_ids"], strict=True)
        return dict(zip(params["priorities"], keys, strict=True))


def _fate(key: Key, taken: set[int], committed: Mapping[int, str]) -> str:
    """What a claim makes of an entry of the index."""
    xid, job_id = key
    if job_id not in committed:
        return "open"
    if committed[job_id] != str(xid):
        return "dead"
    return "taken" if job_id in taken else "locked"


def _entries(read: Mapping[Key, str]) -> str:
    return ", ".join(f"{key} {fate}" for key, fate in read.items()) or "none"


def _xids(xids: set[int]) -> str:
    return ", ".join(map(str, sorted(xids))) or "none"
