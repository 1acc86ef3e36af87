"""Statistics of queues: the longest wait, how many jobs end per second, how many workers claim from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both

# A worker without a heartbeat for longer than this is treated as stopped, even where no other worker is left to declare
# it dead. Longer than a rescuer's lease, by whose end a dead worker is declared dead.
PRESENT_WITHIN = timedelta(seconds=10)
# A longer estimate means nothing, and Python's timedelta could overflow.
LONGEST_ESTIMATE = timedelta(days=3660)


@dataclass(frozen=True)
class QueueStats:
    """The statistics of a queue. Times are the database's."""

    queue: str
    oldest_wait: timedelta | None
    """How long the job that was available first has been waiting. None: no job is available."""
    jobs_per_second: float
    """How many attempts of its jobs the live workers end per second, over about the last minute."""
    workers: int
    """How many live workers claim from it."""

    def time_for(self, jobs: int) -> timedelta | None:
        """Returns how long so many jobs take at that rate. None: the rate is 0, and `jobs` is not."""
        return time_at(self.jobs_per_second, jobs)


def queue_stats_plan(
    queues: Sequence[str] | None = None, *, schema: str = DEFAULT_SCHEMA
) -> Plan[dict[str, QueueStats]]:
    """Returns the statistics of queues, by name: of those that a live worker claims from, or that have available jobs.

    The time it takes grows with the number of queues and workers, not of jobs.

    Args:
        queues: Only these queues. None: all.
        schema: The installation's schema.
    """
    params = {"queues": None if queues is None else list(queues), "present_within": PRESENT_WITHIN}
    rows = yield Query(statement("queue_stats", schema), params, alone=True)
    return {row["queue"]: QueueStats(**row) for row in rows}


queue_stats, queue_stats_async = both(queue_stats_plan)


def time_at(per_second: float, jobs: int) -> timedelta | None:
    """Returns how long so many jobs take at a rate, at most ten years. None: the rate is 0, and `jobs` is not."""
    if jobs <= 0:
        return timedelta(0)
    if per_second <= 0:
        return None
    return min(timedelta(seconds=min(jobs / per_second, LONGEST_ESTIMATE.total_seconds())), LONGEST_ESTIMATE)
