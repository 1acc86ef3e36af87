"""The load on an installation: every kind of list, counts, bulk actions, and a worker's own statements."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from headrace.queue import (
    Done,
    Enqueuer,
    Handlers,
    JobFilter,
    JobState,
    Kinds,
    NewJob,
    Outcome,
    Retry,
    RetryPolicy,
    RunningJob,
    Snooze,
    Unique,
    Worker,
    WorkerSettings,
    cancel_jobs_async,
    count_jobs_async,
    delete_jobs_async,
    get_job_async,
    job_kind,
    list_jobs_async,
    retry_jobs_async,
)
from headrace.queue.db.connections import ReconnectingConnection
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.maintenance import cleaner
from tests.lookups.dataset import FEW
from tests.lookups.query_plans import readings

SLOTS = 50
JOBS = 1_000
WITHIN = 300.0
"""Seconds that the worker is given for them, and to be seen at each of its statements."""
HOT = (
    "insert_jobs",
    "reserve_keys",
    "take_uniques",
    "claim",
    "complete",
    "complete_in",
    "settle",
    "next_due",
    "promote",
    "rescue",
    "clean_jobs",
)
"""The hot path, which a run waits to see all of."""
CHORES = ("clean_uniques", "clean_keys", "clean_workers", "fold_tallies")
"""Statements whose turn comes when all jobs have been looked through, which takes minutes: they are run by hand."""
# A worker that died with jobs in flight.
DEAD = """
with dead as (
  insert into headrace.workers (name, queues, kinds, versions, dead_at) values ('dead', '{}', '{}', '{}', now())
  returning id
)
insert into headrace.jobs (
  state, ready_at, claimed_at, timeout_ms, version, priority, attempt, max_retries, lease, queue, kind, caller, payload,
  worker_id, claim_no
)
select 'running', now(), now(), 30000, 1, 2, 1, 3, 1, 'work', 'lookups.Work', '',
       convert_to('{"ending": "done"}', 'UTF8'), dead.id, 1
from dead cross join generate_series(1, 20)
"""
OPEN = "select count(*) from headrace.jobs where kind = 'lookups.Work' and finished_at is null"


@job_kind("lookups.Work", queue="work", max_retries=3, timeout=timedelta(seconds=30))
@dataclass(frozen=True)
class Work:
    """A job that ends in one of the ways that there are."""

    ending: str


ENDINGS = ("done", "done", "done", "told", "fails once", "snoozes once", "in its own transaction")


async def work(dsn: str) -> None:
    """Enqueues jobs, and has a worker run them, until every statement of the engine's was seen."""
    kinds = Kinds([Work])
    enqueuer = Enqueuer(kinds, hash_keys=(b"0123456789abcdef",))
    connection = await connect(dsn)
    async with connection:
        await connection.execute(DEAD)
        for first in range(0, JOBS, SLOTS):
            new = [
                NewJob(
                    Work(ENDINGS[n % len(ENDINGS)]),
                    key=f"key-{n}" if n % 2 else "",
                    unique=Unique(by=(), period=timedelta(days=1)) if n == 0 else None,
                    run_at=datetime.now(UTC) + timedelta(seconds=1) if n % 10 == 9 else None,
                )
                for n in range(first, first + SLOTS)
            ]
            async with connection.transaction():
                await enqueuer.enqueue_many_async(connection, new)
        worker = Worker(
            dsn,
            handlers(kinds, dsn),
            settings=WorkerSettings(slots=SLOTS, poll_interval=timedelta(milliseconds=100)),
            retry=RetryPolicy(base=timedelta(seconds=1), factor=1),
        )
        ends_at = time.monotonic() + WITHIN
        async with asyncio.TaskGroup() as group:
            group.create_task(worker.run())
            while not await _worked(connection) and time.monotonic() < ends_at:  # noqa: ASYNC110  (a table has none)
                await asyncio.sleep(0.1)
            worker.stop()


def handlers(kinds: Kinds, dsn: str) -> Handlers:
    """The handler of Work."""

    async def run(message: Work, job: RunningJob) -> Outcome | None:
        match message.ending:
            case "told":
                return Done({"told": True})
            case "fails once" if job.attempt == 1:
                return Retry(error="on purpose")
            case "snoozes once" if job.lease == 1:
                return Snooze(timedelta(seconds=1))
            case "in its own transaction":
                async with await connect(dsn) as connection, connection.transaction():
                    await job.complete_in_async(connection)
        return None

    made = Handlers(kinds)
    made.add(Work, run)
    return made


async def _worked(connection: psycopg.AsyncConnection[Any]) -> bool:
    [(left,)] = await (await connection.execute(OPEN)).fetchall()
    return left == 0 and not set(HOT) - readings.found.keys()


async def connect(dsn: str) -> psycopg.AsyncConnection[Any]:
    """A client's connection, with the settings that Postgres comes with."""
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True)


def lists(rows: int) -> dict[str, tuple[JobFilter, int | None]]:
    """The lists that are asked for: by name, the filter, and where the page begins."""
    now, middle, deep = datetime.now(UTC), rows // 2, 2 * FEW
    hour = JobFilter(created_after=now - timedelta(hours=10), created_before=now - timedelta(hours=9))
    live_or_set_aside = tuple(set(JobState) - {JobState.COMPLETED, JobState.PENDING})
    state = {state: JobFilter(states=(state,)) for state in JobState}
    asked: dict[str, tuple[JobFilter, int | None]] = {
        "all": (JobFilter(), None),
        "all, a page in the middle": (JobFilter(), middle),
        "all, the last pages": (JobFilter(), deep),
        **{f"state {name}": (wanted, None) for name, wanted in state.items() if name is not JobState.PENDING},
        "state completed, in the middle": (state[JobState.COMPLETED], middle),
        "state discarded, in the middle": (state[JobState.DISCARDED], middle),
        "every state but completed": (JobFilter(states=live_or_set_aside), None),
        "kind": (JobFilter(kinds=("kind.5",)), None),
        "kind, in the middle": (JobFilter(kinds=("kind.5",)), middle),
        "kind, rare": (JobFilter(kinds=("kind.rare",)), None),
        "kind, none there": (JobFilter(kinds=("kind.none",)), None),
        "queue": (JobFilter(queues=("queue-3",)), None),
        "queue, in the middle": (JobFilter(queues=("queue-3",)), middle),
        "queue, kind": (JobFilter(queues=("queue-3",), kinds=("kind.5",)), None),
        "queue, kind rare": (JobFilter(queues=("queue-3",), kinds=("kind.rare",)), None),
        "tag": (JobFilter(tags=("vip",)), None),
        "tag, in the middle": (JobFilter(tags=("vip",)), middle),
        "tag, rare": (JobFilter(tags=("rare",)), None),
        "tag, none there": (JobFilter(tags=("none",)), None),
        "tag, queue": (JobFilter(tags=("vip",), queues=("queue-3",)), None),
        "time": (hour, None),
        "time, kind": (replace(hour, kinds=("kind.5",)), None),
        "time, state discarded": (replace(hour, states=(JobState.DISCARDED,)), None),
        "time, tag": (replace(hour, tags=("vip",)), None),
        "time, queue, kind rare": (replace(hour, queues=("queue-3",), kinds=("kind.rare",)), None),
        "state completed, queue": (JobFilter(states=(JobState.COMPLETED,), queues=("queue-3",)), None),
        "state completed, kind rare": (JobFilter(states=(JobState.COMPLETED,), kinds=("kind.rare",)), None),
        "state discarded, kind": (JobFilter(states=(JobState.DISCARDED,), kinds=("kind.5",)), None),
        "state discarded, kind, queue, tag": (
            JobFilter(states=(JobState.DISCARDED,), kinds=("kind.5",), queues=("queue-3",), tags=("vip",)),
            None,
        ),
        "state available, queue": (JobFilter(states=(JobState.AVAILABLE,), queues=("queue-3",)), None),
    }  # fmt: skip
    return asked


async def ask(dsn: str, rows: int) -> None:
    """Asks everything once."""
    rare = JobFilter(kinds=("kind.rare",))
    chores = {"page": cleaner.PAGE, "most": cleaner.FOLD, "pause": cleaner.PASS_EVERY, "longest": timedelta(days=14)}
    link = ReconnectingConnection(dsn, purpose="maintenance", schema=DEFAULT_SCHEMA)
    for name in CHORES:
        await link.execute(statement(name), chores)
    await link.close()
    async with await connect(dsn) as connection:
        for name, (wanted, before) in lists(rows).items():
            with readings.question(f"list by {name}" if name != "all" else "list"):
                await list_jobs_async(connection, wanted, before_id=before)
        with readings.question("count all"):
            await count_jobs_async(connection)
        with readings.question("get one"):
            await get_job_async(connection, rows // 2)
        with readings.steps("retry by kind, a dry run"):
            await retry_jobs_async(connection, rare, dry_run=True)
        with readings.steps("cancel by kind"):
            await cancel_jobs_async(connection, rare)
        with readings.steps("delete by kind, a dry run"):
            await delete_jobs_async(connection, rare, dry_run=True)
        with readings.steps("delete by tag"):
            await delete_jobs_async(connection, JobFilter(tags=("rare",)))
