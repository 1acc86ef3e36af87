"""What is measured of the jobs service, and what it is held against.

That is an empty call of the same server (its health check), and the library's own bulk enqueue, in the same round.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.cases import Figure, Values
from bench.contenders import CONTENDERS
from bench.rpc.program import JobsServerProgram
from bench.server import Server

BATCH = 1000


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    rounds: int
    calls: int
    batches: int
    in_flight: int = 64


QUICK = Size(rounds=3, calls=4_000, batches=20)
FULL = Size(rounds=5, calls=20_000, batches=100)

FIGURES = (
    Figure("Enqueue", "calls/s", "higher", "ours >= 0.65 * clean", clean="empty call"),
    Figure(f"EnqueueBatch of {BATCH:,}", "jobs/s", "higher", "ours >= 0.4 * clean", clean="library's bulk"),
    Figure("Enqueue: server CPU", "µs/job", "lower", "ours <= clean / 0.65", clean="empty call: server CPU"),
    # Named, not judged.
    Figure("Enqueue: load's CPU", "µs/job", "lower", "True", clean="empty call: load's CPU"),
    Figure("Enqueue: Postgres CPU", "µs/job", "lower", "True"),
    Figure(f"EnqueueBatch of {BATCH:,}: server CPU", "µs/job", "lower", "True"),
    Figure(f"EnqueueBatch of {BATCH:,}: Postgres CPU", "µs/job", "lower", "True"),
)


def measure(server: Server, size: Size) -> Values:
    """One round: the empty call, Enqueue, EnqueueBatch, and as many jobs by the library."""
    with server.database() as dsn:
        CONTENDERS[0].run("setup", dsn)
        with JobsServerProgram(dsn) as program:
            # All are measured warm: with connections open, and statements prepared on them.
            for method in ("empty", "enqueue"):
                program.load(method=method, calls=size.calls // 10, in_flight=size.in_flight, batch=1)
            program.load(method="batch", calls=max(2, size.batches // 10), in_flight=2, batch=BATCH)
            values = {
                **_calls(server, program, "empty", "empty call", size.calls, size.in_flight),
                **_calls(server, program, "enqueue", "Enqueue", size.calls, size.in_flight),
                **_calls(server, program, "batch", f"EnqueueBatch of {BATCH:,}", size.batches, 2, jobs=BATCH),
            }
        jobs = size.batches * BATCH
        values["library's bulk"] = jobs / CONTENDERS[0].run("enqueue", dsn, jobs=jobs)["seconds"]
    return values


def _calls(
    server: Server, program: JobsServerProgram, method: str, name: str, calls: int, in_flight: int, jobs: int = 1
) -> Values:
    before = program.cpu_seconds
    with server.working() as work:
        loaded = program.load(method=method, calls=calls, in_flight=in_flight, batch=jobs)
    total = calls * jobs
    return {
        name: total / loaded["seconds"],
        f"{name}: server CPU": (program.cpu_seconds - before) / total * 1e6,
        f"{name}: Postgres CPU": work.cpu_seconds / total * 1e6,
        f"{name}: load's CPU": loaded["cpu_seconds"] / total * 1e6,
    }
