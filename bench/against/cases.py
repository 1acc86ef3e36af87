"""What is compared between two checkouts, how much of it, and the bars."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Any

from bench.against.side import Side
from bench.against.verdict import Bar
from bench.cases import ENQUEUES_PER_SECOND, Values
from bench.server import Server, Work

# A statement, a call or a job may cost 3 % more. Wall time hangs on what else the machine does, hence 5 %.
SPEED = Bar(0.95, more_is_better=True)
COST = Bar(1.03, more_is_better=False)
BATCH = 1000
IN_FLIGHT = 64

Steps = Generator[Values, None, None]
"""What was measured in each step of a case."""


@dataclass(frozen=True)
class Size:
    """How much of everything. Many short pairs say more than a few long ones."""

    seconds: float
    """No pair is begun that would not end by then."""
    most_pairs: int
    drain_jobs: int
    many_jobs: int
    single_jobs: int
    latency_jobs: int
    calls: int
    batches: int


QUICK = Size(
    seconds=335,
    most_pairs=40,
    drain_jobs=50_000,
    many_jobs=30_000,
    single_jobs=1_500,
    latency_jobs=60,
    calls=2_000,
    batches=15,
)
FULL = Size(
    seconds=2400,
    most_pairs=100,
    drain_jobs=100_000,
    many_jobs=80_000,
    single_jobs=3_000,
    latency_jobs=200,
    calls=4_000,
    batches=30,
)


@dataclass(frozen=True)
class Row:
    """A line of the table. A row without a bar is shown and not judged."""

    name: str
    unit: str
    bar: Bar | None


@dataclass(frozen=True)
class Case:
    """Something that one side does on a database, and the rows that come of it.

    Args:
        steps: Takes the server, a side, the URL of a database in which that side's tables are, and the size. It yields
            after each step, so that the other side takes the same step right afterwards.
    """

    name: str
    part: str
    """`engine` or `rpc`."""
    rows: tuple[Row, ...]
    steps: Callable[[Server, Side, str, Size], Steps]


def _work(name: str, unit: str = "jobs/s", *, by: str, each: str = "job") -> tuple[Row, ...]:
    """The rows of a case that is measured by `_per_job`."""
    return (
        Row(name, unit, SPEED),
        Row(f"{name}: {by} CPU", f"µs/{each}", COST),
        Row(f"{name}: Postgres CPU", f"µs/{each}", COST),
        Row(f"{name}: WAL", f"B/{each}", COST),
    )


def _per_job(rows: tuple[Row, ...], jobs: int, seconds: float, cpu_seconds: float, work: Work) -> Values:
    values = (jobs / seconds, cpu_seconds / jobs * 1e6, work.cpu_seconds / jobs * 1e6, work.wal_bytes / jobs)
    return {row.name: value for row, value in zip(rows, values, strict=True)}


DRAIN = _work("drain", by="worker")
FAST = _work("enqueue_many_fast", by="client")
MANY = _work(f"enqueue_many of {BATCH:,}", by="client")
SINGLY = _work("enqueue", by="client")
LATENCY = (Row("enqueue to start, median", "ms", None), Row("enqueue to start, 99 %", "ms", None))
CALL = _work("gRPC Enqueue", "calls/s", by="jobs server", each="call")
CALL_BATCH = _work(f"gRPC EnqueueBatch of {BATCH:,}", by="jobs server")


def drain(server: Server, side: Side, dsn: str, size: Size) -> Steps:
    """Enqueues by COPY in one transaction, then drains."""
    yield _enqueued(server, side, dsn, FAST, "enqueue", jobs=size.drain_jobs)
    server.settle(dsn)
    with server.working() as work:
        drained = side.run("drain", dsn, jobs=size.drain_jobs)
    server.require(dsn, side.driver.unfinished, 0)
    yield _per_job(DRAIN, size.drain_jobs, drained["seconds"], drained["cpu_seconds"], work)


def many(server: Server, side: Side, dsn: str, size: Size) -> Steps:
    """Enqueues batches, with a result for each job."""
    yield _enqueued(server, side, dsn, MANY, "enqueue_many", jobs=size.many_jobs, batch=BATCH)


def singly(server: Server, side: Side, dsn: str, size: Size) -> Steps:
    """Enqueues one job after the other, without waits for the disk: they would be most of the time and of its noise."""
    dsn += "?options=-c%20synchronous_commit%3Doff"
    yield _enqueued(server, side, dsn, SINGLY, "enqueue_singly", jobs=size.single_jobs)


def latency(_: Server, side: Side, dsn: str, size: Size) -> Steps:
    """Enqueues one job after the other for an idle worker."""
    measured = side.run("latency", dsn, jobs=size.latency_jobs, per_second=ENQUEUES_PER_SECOND)
    waited = measured["milliseconds"]
    yield dict(zip((row.name for row in LATENCY), (median(waited), quantiles(waited, n=100)[98]), strict=True))


def rpc(server: Server, side: Side, dsn: str, size: Size) -> Steps:
    """Calls a jobs server that was just started, after some calls that open connections and prepare statements."""
    unary: dict[str, Any] = {"method": "enqueue", "in_flight": IN_FLIGHT, "batch": 1}
    batch: dict[str, Any] = {"method": "batch", "in_flight": 2, "batch": BATCH}
    with side.jobs_server(dsn) as program:
        program.load(calls=size.calls // 10, **unary)
        yield {}
        for rows, arguments, calls in ((CALL, unary, size.calls), (CALL_BATCH, batch, size.batches)):
            with server.working() as work:
                seconds, cpu_seconds = program.load(calls=calls, **arguments)
            yield _per_job(rows, calls * arguments["batch"], seconds, cpu_seconds, work)


def _enqueued(server: Server, side: Side, dsn: str, rows: tuple[Row, ...], case: str, **arguments: int) -> Values:
    with server.working() as work:
        measured = side.run(case, dsn, **arguments)
    return _per_job(rows, arguments["jobs"], measured["seconds"], measured["cpu_seconds"], work)


CASES = (
    Case("drain", "engine", (*FAST, *DRAIN), drain),
    Case("many", "engine", MANY, many),
    Case("singly", "engine", SINGLY, singly),
    Case("latency", "engine", LATENCY, latency),
    Case("rpc", "rpc", (*CALL, *CALL_BATCH), rpc),
)
