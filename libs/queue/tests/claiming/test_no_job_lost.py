"""The line under fire.

Whatever commits late, rolls back, retries, is cancelled, paused, limited or falls silent: no committed job is lost, and
none is handed out twice under one lease.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
from collections import Counter
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from engine_kinds import TestKinds
from installation import Installation
from psycopg.rows import dict_row

from headrace.queue import Enqueued, NewJob
from headrace.queue.claiming.cursor import Cursor, Mark, Sweep
from headrace.queue.db.statements import statement

pytestmark = pytest.mark.postgres_versions

SECONDS = 5.0
LATEST = 60.0
GREET, COUNT = "headrace.test.v1.Greet", "headrace.test.v1.Count"


class Fire:
    """Producers, claimers and everything that disturbs them, over one queue; and the books of what they saw."""

    def __init__(self, installation: Installation, seed: int) -> None:
        self.installation = installation
        self.rng = random.Random(seed)
        self.committed: set[int] = set()
        self.rolled_back: set[int] = set()
        self.cancelled: set[int] = set()
        self.handed: Counter[tuple[int, int]] = Counter()
        self.completed: Counter[int] = Counter()
        self.silent: list[int] = []
        self.late_completions = 0
        self.late_counted = 0
        self.rolled_back_claims = 0
        self.produced = asyncio.Event()
        self.stop = asyncio.Event()

    async def connect(self, stack: AsyncExitStack, *, autocommit: bool = True) -> Any:
        options = {"prepare_threshold": 0, **self.installation.connection_options}
        connection = await psycopg.AsyncConnection.connect(
            self.installation.dsn, autocommit=autocommit, row_factory=dict_row, **options
        )
        if options["prepare_threshold"] is not None:  # else it is pooled, and a session's settings are strangers'
            planner = "set enable_seqscan = off; set enable_bitmapscan = off; set jit = off"
            await connection.execute(planner, prepare=False)
        if not autocommit:
            await connection.commit()
        return await stack.enter_async_context(connection)

    async def left(self, connection: psycopg.AsyncConnection[Any]) -> bool:
        cursor = await connection.execute("select 1 from headrace.jobs where finished_at is null limit 1")
        return await cursor.fetchone() is not None

    async def producer(self, longest: float) -> None:
        async with AsyncExitStack() as stack:
            connection = await self.connect(stack, autocommit=False)
            while not self.stop.is_set():
                ids: list[int] = []
                for _ in range(self.rng.choice((1, 1, 3))):
                    jobs = [self.new_job() for _ in range(self.rng.choice((1, 1, 3, 50)))]
                    ids += [
                        result.job_id
                        for result in await self.installation.enqueuer.enqueue_many_async(connection, jobs)
                        if isinstance(result, Enqueued)
                    ]
                    await asyncio.sleep(self.rng.random() * longest)
                if self.rng.random() < 0.2:
                    self.rolled_back.update(ids)
                    await connection.rollback()
                else:
                    await connection.commit()
                    self.committed.update(ids)

    def new_job(self) -> NewJob:
        message = TestKinds.Greet() if self.rng.random() < 0.85 else TestKinds.Count()
        soon = datetime.now(UTC) + timedelta(seconds=self.rng.random())
        return NewJob(
            message,
            queue="fire",
            priority=self.rng.choice((1, 2, 2, 3)),
            run_at=soon if self.rng.random() < 0.1 else None,
        )

    async def claimer(self, kinds: list[str]) -> None:
        """Workers, one life after the other."""
        while await self.live(kinds):
            pass

    async def live(self, kinds: list[str]) -> bool:
        """Lives one life. Returns whether there was anything left to do at its end."""
        async with AsyncExitStack() as stack:
            connection = await self.connect(stack)
            row = await (
                await connection.execute(
                    statement("register_worker"),
                    {
                        "name": "claimer",
                        "queues": ["fire"],
                        "kinds": kinds,
                        "versions": [1] * len(kinds),
                        "slots": 200,
                        "enabled": True,
                    },
                )
            ).fetchone()
            cursor = Cursor()
            sweep = Sweep(cursor)
            for number in range(1, 10_000_000):
                place = sweep if self.rng.random() < 0.1 else cursor
                limit = self.rng.choice((1, 5, 40, 200))
                params = {
                    **place.params(),
                    "worker_id": row["id"],
                    "claim_no": number,
                    "queue": "fire",
                    "kinds": kinds,
                    "versions": [1] * len(kinds),
                    "limit": limit,
                }
                if not self.rolled_back_claims or self.rng.random() < 0.03:
                    await self.claim_and_roll_back(connection, params)
                    continue
                rows = await (await connection.execute(statement("claim"), params)).fetchall()
                mark = Mark.parse(json.loads(rows.pop(0)["mark"]))
                assert mark is not None
                if isinstance(place, Sweep):
                    place.advance(mark, seconds=0.0, budget=1.0)
                else:
                    place.advance(mark)
                self.handed.update((job["id"], job["lease"]) for job in rows)
                if not rows:
                    if self.produced.is_set() and not await self.left(connection):
                        return False
                    await asyncio.sleep(0.01)
                    continue
                await asyncio.sleep(self.rng.random() * 0.03)
                if await self.work(connection, row["id"], rows):
                    return True
        return True

    async def claim_and_roll_back(self, connection: psycopg.AsyncConnection[Any], params: dict[str, Any]) -> None:
        await connection.set_autocommit(False)
        rows = await (await connection.execute(statement("claim"), params)).fetchall()
        await asyncio.sleep(self.rng.random() * 0.1)
        await connection.rollback()
        await connection.set_autocommit(True)
        self.rolled_back_claims += len(rows) > 1

    async def work(self, connection: psycopg.AsyncConnection[Any], worker_id: int, rows: list[Any]) -> bool:
        """Ends the claimed jobs one way or another. Returns whether the worker's life is over."""
        fate = self.rng.random() if self.late_completions else 0.03
        if fate < 0.02:  # falls silent, is rescued meanwhile, and completes everything late
            self.silent.append(worker_id)
            await asyncio.sleep(0.5)
        elif fate < 0.05:  # hands everything back, and completes it all the same
            await self.settle(connection, rows, "available", spent=False)
        late = fate < 0.05
        retried = [] if late else [row for row in rows if self.rng.random() < 0.05]
        await self.settle(connection, retried, "retryable", spent=True)
        rest = sorted((row["id"], row["lease"]) for row in rows if row not in retried)
        if rest:
            ids, leases = zip(*rest, strict=True)
            params = {"ids": list(ids), "leases": list(leases)}
            [row] = await (await connection.execute(statement("complete"), params)).fetchall()
            counted = ids if row["counted"] is None else row["counted"]
            self.completed.update(counted)
            if late:
                self.late_completions += len(rest)
                self.late_counted += len(counted)
        return fate < 0.02

    @staticmethod
    async def settle(connection: psycopg.AsyncConnection[Any], rows: list[Any], state: str, *, spent: bool) -> None:
        rows = sorted(rows, key=lambda row: row["id"])
        params = {
            "ids": [row["id"] for row in rows],
            "leases": [row["lease"] for row in rows],
            "states": [state] * len(rows),
            "spent": [spent] * len(rows),
            "delays_ms": [100] * len(rows),
            "errors": [None] * len(rows),
            "outputs": [None] * len(rows),
        }
        if rows:
            await connection.execute(statement("settle"), params)

    async def upkeep(self) -> None:
        async with AsyncExitStack() as stack:
            connection = await self.connect(stack)
            while not self.produced.is_set() or await self.left(connection):
                await connection.execute(statement("promote"), {"limit": 1000})
                silent, self.silent = self.silent, []
                await connection.execute("update headrace.workers set dead_at = now() where id = any(%s)", (silent,))
                await connection.execute(statement("rescue"), {"max_deaths": 1000})
                await asyncio.sleep(0.05)

    async def canceller(self) -> None:
        async with AsyncExitStack() as stack:
            connection = await self.connect(stack)
            while not self.stop.is_set():
                if self.committed:
                    job_id = self.rng.choice(tuple(self.committed)[-500:])
                    query = """
                        update headrace.jobs
                        set state = 'cancelled', set_aside = 'cancelled', ready_xid = null, due_at = null,
                            finished_at = now()
                        where id = %s and state in ('available', 'scheduled', 'retryable')
                    """
                    self.cancelled.update([job_id] * (await connection.execute(query, (job_id,))).rowcount)
                await asyncio.sleep(0.02)

    async def pauser(self) -> None:
        """Pauses and resumes a kind, and sets and lifts the queue's limit, again and again."""
        async with AsyncExitStack() as stack:
            connection = await self.connect(stack)
            while not self.stop.is_set():
                kind, limit = self.rng.choice((GREET, COUNT)), self.rng.choice((None, 5, 100))
                await connection.execute(statement("pause_kind"), {"kind": kind, "by": "pauser"})
                await connection.execute(statement("limit_queue"), {"queue": "fire", "max_running": limit})
                await asyncio.sleep(self.rng.random() * 0.2)
                await connection.execute(statement("resume_kind"), {"kind": kind})
                await asyncio.sleep(self.rng.random() * 0.2)
            await connection.execute(statement("limit_queue"), {"queue": "fire", "max_running": None})


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_committed_job_is_lost_and_none_is_handed_out_twice(installation: Installation, seed: int) -> None:
    fire = Fire(installation, seed)
    async with asyncio.timeout(LATEST), asyncio.TaskGroup() as group:
        producers = [group.create_task(fire.producer(longest)) for longest in (0.02, 0.02, 0.02, 0.2, 1.0)]
        producers.append(group.create_task(fire.canceller()))
        producers.append(group.create_task(fire.pauser()))
        for kinds in ([GREET], [GREET, COUNT], [GREET, COUNT], [GREET]):
            group.create_task(fire.claimer(kinds))
        group.create_task(fire.upkeep())
        await asyncio.sleep(SECONDS)
        fire.stop.set()
        await asyncio.wait(producers)
        fire.produced.set()
    assert fire.committed - set(fire.completed) - fire.cancelled == set(), "lost"
    assert [job for job, times in fire.completed.items() if times > 1] == [], "completed twice"
    assert [handed for handed, times in fire.handed.items() if times > 1] == [], "handed out twice under one lease"
    assert set(fire.completed) & fire.cancelled == set(), "completed and cancelled"
    assert {job_id for job_id, _ in fire.handed} & fire.rolled_back == set(), "ran without being committed"
    assert fire.late_completions > fire.late_counted, "the fence was never needed: the test has lost its bite"
    assert fire.rolled_back_claims > 0, "no claim was rolled back: the test has lost its bite"


class Claimer:
    """A worker that claims when it is told to."""

    def __init__(self, connection: psycopg.AsyncConnection[Any], worker_id: int) -> None:
        self._connection = connection
        self._worker_id = worker_id
        self._cursor = Cursor()
        self._numbers = itertools.count(1)

    @classmethod
    async def registered(cls, connection: psycopg.AsyncConnection[Any]) -> Claimer:
        params = {"name": "claimer", "queues": ["greetings"], "kinds": [GREET], "versions": [1], "slots": 10}
        row = await (await connection.execute(statement("register_worker"), {**params, "enabled": True})).fetchone()
        assert row is not None
        return cls(connection, row["id"])

    async def claim(self, limit: int = 10) -> list[int]:
        params = {
            **self._cursor.params(),
            "worker_id": self._worker_id,
            "claim_no": next(self._numbers),
            "queue": "greetings",
            "kinds": [GREET],
            "versions": [1],
            "limit": limit,
        }
        mark, *jobs = await (await self._connection.execute(statement("claim"), params)).fetchall()
        parsed = Mark.parse(json.loads(mark["mark"]))
        assert parsed is not None
        self._cursor.advance(parsed)
        return [job["id"] for job in jobs]


async def test_a_late_commit_is_found_at_the_next_claim_not_by_the_sweep(
    installation: Installation, messages: type[TestKinds]
) -> None:
    """The long transaction began before, and commits after, a job that a worker has passed."""
    async with await installation.connect(autocommit=False) as slow, AsyncExitStack() as stack:
        late = await installation.enqueuer.enqueue_async(slow, NewJob(messages.Greet()))
        claimer = await Claimer.registered(await Fire(installation, 0).connect(stack))
        early = await installation.enqueue(messages.Greet())
        assert await claimer.claim() == [early]
        assert await claimer.claim() == []
        await slow.commit()
        assert await claimer.claim() == [late.job_id]


async def test_a_late_commit_overtakes_nothing_that_the_claims_have_not_come_to(
    installation: Installation, messages: type[TestKinds]
) -> None:
    """It was open during a claim, but its own place in the line is still ahead: that of its priority."""
    async with await installation.connect(autocommit=False) as slow, AsyncExitStack() as stack:
        first = [await installation.enqueue(messages.Greet(), priority=1) for _ in range(3)]
        last = await installation.enqueuer.enqueue_async(slow, NewJob(messages.Greet(), priority=4))
        claimer = await Claimer.registered(await Fire(installation, 0).connect(stack))
        order = await claimer.claim(limit=1)
        await slow.commit()
        for _ in range(3):
            order += await claimer.claim(limit=1)
        assert order == [*first, last.job_id]


def test_the_cursor_never_passes_the_snapshot_it_was_moved_by() -> None:
    cursor = Cursor()
    cursor.advance(Mark(xmax=50, in_progress=frozenset({40}), late=0, fresh=1, last=(2, 60, 7), limit=1))
    assert cursor.params()["after_xids"] == "{50,50,0,0}"
    assert cursor.params()["open"] == "{40}"


def test_a_transaction_stays_remembered_until_it_was_read_to_its_end() -> None:
    cursor = Cursor()
    cursor.advance(Mark(xmax=50, in_progress=frozenset({40}), late=0, fresh=0, last=None, limit=10))
    cursor.advance(Mark(xmax=60, in_progress=frozenset(), late=10, fresh=0, last=None, limit=10))
    assert cursor.params()["open"] == "{40}", "its rows filled the batch: there may be more"
    cursor.advance(Mark(xmax=61, in_progress=frozenset(), late=3, fresh=0, last=None, limit=10))
    assert cursor.params()["open"] == "{}"


def test_the_sweep_looks_at_nothing_that_stands_before_a_lanes_cursor() -> None:
    cursor = Cursor()
    sweep, nothing = Sweep(cursor), Mark(xmax=90, in_progress=frozenset(), late=0, fresh=0, last=None, limit=10)
    assert not sweep.has_ground
    cursor.advance(Mark(xmax=90, in_progress=frozenset(), late=0, fresh=10, last=(2, 40, 7), limit=10))
    assert sweep.has_ground
    looks = []
    done = False
    while not done:
        params = sweep.params()
        looks.append((params["priorities"], params["after_xids"], params["below"]))
        done = sweep.advance(nothing, seconds=0.0, budget=0.005)
    assert looks == [([1, 2], "{0,0}", "40"), ([1], "{40}", "90")]


def test_the_sweep_takes_smaller_steps_where_they_take_long() -> None:
    cursor = Cursor()
    cursor.advance(Mark(xmax=10**6, in_progress=frozenset(), late=0, fresh=0, last=None, limit=10))
    sweep = Sweep(cursor)
    nothing = Mark(xmax=10**6, in_progress=frozenset(), late=0, fresh=0, last=None, limit=10)
    steps = []
    while not sweep.advance(nothing, seconds=0.1, budget=0.005):
        steps.append(int(sweep.params()["below"]))
        if len(steps) == 5:
            break
    widths = [after - before for before, after in itertools.pairwise(steps)]
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] < widths[0]
