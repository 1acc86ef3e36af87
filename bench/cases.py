"""What is measured, what each figure is called, and what it is held against."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles

from bench.contenders import BARE, OURS, Contender
from bench.server import Server


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rounds: int
    """Of the whole run: everyone has a turn in each."""
    drain_jobs: int
    held_back_jobs: int
    """In each of the eight rounds under the held-back vacuum."""
    latency_jobs: int
    seconds: float
    """No round is begun that would not end by then."""


QUICK = Size(rounds=3, drain_jobs=100_000, held_back_jobs=5_000, latency_jobs=200, seconds=280)
FULL = Size(rounds=5, drain_jobs=100_000, held_back_jobs=50_000, latency_jobs=1_000, seconds=3600)
HELD_BACK_ROUNDS = 8
ENQUEUES_PER_SECOND = 100


@dataclass(frozen=True)
class Figure:
    """A line of the table. `bar` is what must hold of `ours`, `best_peer`, `limit` and `clean` (ours, undisturbed)."""

    name: str
    unit: str
    better: str
    bar: str
    clean: str | None = None
    """The name of the run's value that this one has undisturbed."""
    limit: str | None = None
    """The name of the run's value that this one can't be better than, as the tables and statements are."""


FIGURES = (
    Figure("drain", "jobs/s", "higher", "ours >= 50000 and ours >= 2 * best_peer", limit="bare drain"),
    Figure("drain: server CPU", "µs/job", "lower", "ours <= best_peer", limit="bare drain: server CPU"),
    Figure("drain: worker CPU", "µs/job", "lower", "ours <= best_peer", limit="bare drain: client CPU"),
    Figure("drain: WAL", "B/job", "lower", "ours <= best_peer", limit="bare drain: WAL"),
    Figure("bulk enqueue", "jobs/s", "higher", "ours >= best_peer"),
    Figure("bulk enqueue: server CPU", "µs/job", "lower", "ours <= best_peer"),
    Figure("bulk enqueue: WAL", "B/job", "lower", "ours <= best_peer"),
    Figure("enqueue to start, median", "ms", "lower", "ours <= best_peer"),
    Figure("enqueue to start, 99 %", "ms", "lower", "ours <= best_peer"),
    Figure(
        "eighth round under a held-back vacuum",
        "jobs/s",
        "higher",
        "ours >= 0.8 * clean and ours >= 2 * best_peer",
        clean="first round under a held-back vacuum",
    ),
)

Values = dict[str, float]


def drain(server: Server, contender: Contender, size: Size) -> Values:
    """Bulk enqueue, then the drain of it."""
    jobs = size.drain_jobs
    with server.database() as dsn:
        contender.run("setup", dsn)
        with server.working() as enqueue_work:
            enqueued = contender.run("enqueue", dsn, jobs=jobs)
        server.settle(dsn)
        with server.working() as work:
            drained = contender.run("drain", dsn, jobs=jobs)
        server.require(dsn, contender.unfinished, 0)
    return {
        "bulk enqueue": jobs / enqueued["seconds"],
        "bulk enqueue: server CPU": enqueue_work.cpu_seconds / jobs * 1e6,
        "bulk enqueue: WAL": enqueue_work.wal_bytes / jobs,
        "drain": jobs / drained["seconds"],
        "drain: server CPU": work.cpu_seconds / jobs * 1e6,
        "drain: worker CPU": drained["cpu_seconds"] / jobs * 1e6,
        "drain: WAL": work.wal_bytes / jobs,
    }


def bare_drain(server: Server, contender: Contender, size: Size) -> Values:
    """The limit of our drain: the same statements on the same rows, with no engine around them."""
    if contender.name != OURS:
        return {}
    values = drain(server, BARE, size)
    return {
        "bare drain": values["drain"],
        "bare drain: server CPU": values["drain: server CPU"],
        "bare drain: client CPU": values["drain: worker CPU"],
        "bare drain: WAL": values["drain: WAL"],
    }


def latency(server: Server, contender: Contender, size: Size) -> Values:
    """One job after the other, for an idle worker."""
    with server.database() as dsn:
        contender.run("setup", dsn)
        answer = contender.run("latency", dsn, jobs=size.latency_jobs, per_second=ENQUEUES_PER_SECOND)
    waited = answer["milliseconds"]
    return {"enqueue to start, median": median(waited), "enqueue to start, 99 %": quantiles(waited, n=100)[98]}


def held_back(server: Server, contender: Contender, size: Size) -> Values:
    """Round after round, while a transaction holds back vacuum: dead rows and index entries only ever grow."""
    jobs = size.held_back_jobs
    with server.database() as dsn:
        contender.run("setup", dsn)
        with server.vacuum_held_back(dsn):
            seconds = contender.run("rounds", dsn, jobs=jobs, rounds=HELD_BACK_ROUNDS)["seconds"]
    return {
        "first round under a held-back vacuum": jobs / seconds[0],
        "eighth round under a held-back vacuum": jobs / seconds[-1],
    }


CASES: tuple[Callable[[Server, Contender, Size], Values], ...] = (drain, bare_drain, latency, held_back)
