"""How queues move: how long the longest wait is, how many jobs end per second, how many workers serve them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.db.statements import DEFAULT_SCHEMA, rows

# A worker that has not beaten for longer than this is not there any more, though nobody may be left to declare it dead.
# Longer than a rescuer's lease: what the beats alone can say is said by then.
PRESENT_WITHIN = timedelta(seconds=10)
# Beyond this a time says nothing, and one day Python could not hold it.
LONGEST_GUESS = timedelta(days=3660)


@dataclass(frozen=True)
class QueueStats:
    """How a queue moves. Times are the database's."""

    queue: str
    oldest_wait: timedelta | None
    """How long the job has waited that stands longest in line; None when none does."""
    jobs_per_second: float
    """How many attempts of its jobs the live workers end per second, over about the last minute."""
    workers: int
    """How many live workers claim from it."""

    def time_for(self, jobs: int) -> timedelta | None:
        """How long so many jobs take at that rate; None when the rate is 0 and there are any."""
        return time_at(self.jobs_per_second, jobs)


async def queue_stats(
    connection: AsyncConnection[Any], queues: Sequence[str] | None = None, *, schema: str = DEFAULT_SCHEMA
) -> dict[str, QueueStats]:
    """How queues move, by name: those that a live worker claims from or that jobs stand in line of.

    Costs as much as queues and workers are many; how many jobs wait does not count.

    Args:
        connection: Any, as the server, a worker or a reader.
        queues: Only these of them; None for all.
        schema: The installation's schema.
    """
    params = {"queues": None if queues is None else list(queues), "present_within": PRESENT_WITHIN}
    found = await rows(connection, "queue_stats", params, schema=schema)
    return {row["queue"]: QueueStats(**row) for row in found}


def time_at(per_second: float, jobs: int) -> timedelta | None:
    """How long so many jobs take at a rate; None when that is 0 and there are any. At most ten years."""
    if jobs <= 0:
        return timedelta(0)
    if per_second <= 0:
        return None
    return min(timedelta(seconds=min(jobs / per_second, LONGEST_GUESS.total_seconds())), LONGEST_GUESS)
