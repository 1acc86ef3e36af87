"""A worker of the harness's own, as a program: the engine's worker with handlers that keep the ledger.

`CHAOS_WITHOUT_FENCE=1` takes the lease out of the statements that write outcomes, in this process alone: the proof that
the harness sees it when a fence is passed. The product has no such switch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from headrace.queue import Done, Handlers, LeaseLostError, RetryPolicy, RunningJob, Worker, WorkerSettings
from headrace.queue.completion import completer
from headrace.queue.execution import transactional_completion
from tests.chaos.kinds import KINDS, Effect, Plain, Told, Work

logger = logging.getLogger("chaos")
SLOTS = 12
BEGAN = "insert into chaos.runs (job_id, lease, token) values (%s, %s, %s)"
ENDED = "update chaos.runs set ended_at = clock_timestamp() where job_id = %s and lease = %s and ended_at is null"
EFFECT = "insert into chaos.effects (job_id, lease, token) values (%s, %s, %s)"
FENCES = (
    r"\s+and jobs\.lease = (held|decided)\.lease\b",
    r"\s+and lease = %\(lease\)s",
    r"\s+and case when \(select \(%\(leases\)s.*?\)\) is true\s+end",
)
WITHOUT_FENCE = "CHAOS_WITHOUT_FENCE"


class StumbledError(Exception):
    """An attempt that is to fail."""


class HandlersOfChaos:
    """The handlers, with their own connections."""

    def __init__(self, dsn: str) -> None:
        check = {"min_size": 1, "max_size": SLOTS, "timeout": 5.0, "open": False}
        self._blocking = ConnectionPool(dsn, check=ConnectionPool.check_connection, **check)  # type: ignore[arg-type]
        self._pool = AsyncConnectionPool(dsn, check=AsyncConnectionPool.check_connection, **check)  # type: ignore[arg-type]

    async def open(self) -> Handlers:
        """Opens the connections; Postgres may be down in the meantime."""
        self._blocking.open()
        await self._pool.open()
        handlers = Handlers(KINDS)
        handlers.add(Effect, self.effect)
        handlers.add(Plain, self.plain)
        handlers.add(Told, self.told)
        return handlers

    async def close(self) -> None:
        """Closes the connections."""
        self._blocking.close()
        await self._pool.close()

    def effect(self, work: Effect, job: RunningJob) -> None:
        """Has an effect, and completes the job with it. A thread: it goes on whatever has become of the lease."""
        with self._blocking.connection() as connection:
            connection.execute(BEGAN, (job.id, job.lease, work.token))
        time.sleep(work.seconds)
        with self._blocking.connection() as connection:
            connection.execute(EFFECT, (job.id, job.lease, work.token))
            try:
                job.complete_in(connection)
            except LeaseLostError:
                logger.warning("job %d: the effect of lease %d came too late and is rolled back", job.id, job.lease)
                raise
            stumble(work, job)

    async def plain(self, work: Plain, job: RunningJob) -> None:
        """Takes its time."""
        await self._attempt(work, job)

    async def told(self, work: Told, job: RunningJob) -> Done:
        """Takes its time, and says under which lease."""
        await self._attempt(work, job)
        return Done({"lease": job.lease})

    async def _attempt(self, work: Work, job: RunningJob) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(BEGAN, (job.id, job.lease, work.token))
        await asyncio.sleep(work.seconds)
        stumble(work, job)
        async with self._pool.connection() as connection:
            await connection.execute(ENDED, (job.id, job.lease))


def stumble(work: Work, job: RunningJob) -> None:
    """Fails the first attempts where the payload says so."""
    if job.attempt <= work.stumbles:
        raise StumbledError(f"attempt {job.attempt} of {work.stumbles} that are to fail")


def take_the_fence_out() -> None:
    """Makes the loaded statements of this process forget the lease."""
    for module in (completer, transactional_completion):
        module.statement = unfenced(module.statement)  # type: ignore[attr-defined]


def unfenced(statement: Callable[..., LiteralString]) -> Callable[..., LiteralString]:
    """The statements, without the lease in those that write outcomes."""

    def of_name(name: str, *schema: str) -> Any:
        text: str = statement(name, *schema)
        if name not in ("complete", "settle", "complete_in"):
            return text
        open_door = text
        for fence in FENCES:
            open_door = re.sub(fence, "", open_door, flags=re.DOTALL)
        if open_door == text:
            raise RuntimeError(f"{name}.sql has another fence than the harness knows: it would prove nothing")
        return open_door

    return of_name


async def main() -> None:
    """Works until SIGTERM."""
    if os.environ.get(WITHOUT_FENCE) == "1":
        take_the_fence_out()
    dsn = os.environ["CHAOS_DSN"]
    chaos = HandlersOfChaos(psycopg.conninfo.make_conninfo(dsn, connect_timeout=3))
    worker = Worker(
        dsn,
        await chaos.open(),
        settings=WorkerSettings(slots=SLOTS, drain_timeout=timedelta(seconds=3), name=os.environ["CHAOS_NAME"]),
        retry=RetryPolicy(base=timedelta(milliseconds=300), factor=2, cap=timedelta(seconds=2)),
    )
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, worker.stop)
    await worker.run()
    await chaos.close()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(main())
