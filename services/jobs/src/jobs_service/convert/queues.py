"""Queues, their statistics, and pauses."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Literal, TypedDict

from headrace.jobs.v1 import queue_pb2
from headrace.queue import BoundedCount, JobState, Pause, Queue, QueueStats
from jobs_service.convert.jobs import STATES
from jobs_service.convert.values import Violations, noting, read_duration, refuse, write_duration, write_time

FINAL: tuple[Literal["completed", "cancelled", "discarded", "quarantined"], ...] = (
    "completed",
    "cancelled",
    "discarded",
    "quarantined",
)


def write_queue(queue: Queue, max_depth: int | None = None) -> queue_pb2.Queue:
    """Writes a queue, with the deployment's limit of available jobs."""
    written = queue_pb2.Queue(
        name=queue.name, paused_by=queue.paused_by or "", max_running=queue.max_running, max_depth=max_depth
    )
    write_time(written.paused_at, queue.paused_at)
    for state, kept in queue.retention.items():
        write_duration(getattr(written.retention, state), kept)
    return written


class Kept(TypedDict, total=False):
    """How long finished jobs are kept: the arguments of `set_retention`."""

    completed: timedelta
    cancelled: timedelta
    discarded: timedelta
    quarantined: timedelta


def read_retention(sent: queue_pb2.Retention) -> Kept:
    """Reads a retention. Unset fields are left out.

    Raises:
        RpcError: INVALID_ARGUMENT, with every field that has no valid duration.
    """
    violations: Violations = []
    kept = Kept()
    for field in FINAL:
        if sent.HasField(field):
            with noting(violations, f"retention.{field}"):
                kept[field] = read_duration(getattr(sent, field))
    if violations:
        raise refuse(violations)
    return kept


def write_pause(pause: Pause) -> queue_pb2.Pause:
    """Writes a pause."""
    scope: dict[str, Any] = {"all": True} if pause.what == "all" else {pause.what: pause.name}
    written = queue_pb2.Pause(**scope, paused_by=pause.paused_by)
    write_time(written.paused_at, pause.paused_at)
    return written


def write_stats(queue: str, counts: Mapping[JobState, BoundedCount], flow: QueueStats | None) -> queue_pb2.QueueStats:
    """Writes a queue's statistics.

    Args:
        queue: Its name.
        counts: The counted jobs by state.
        flow: Its throughput; None if it has no available jobs and no live worker.
    """
    flow = flow or QueueStats(queue, oldest_wait=None, jobs_per_second=0, workers=0)
    written = queue_pb2.QueueStats(
        queue=queue,
        counts=[
            queue_pb2.StateCount(state=STATES[state], jobs=counts[state].jobs, more=counts[state].more)
            for state in JobState
            if state in counts
        ],
        jobs_per_second=flow.jobs_per_second,
        workers=flow.workers,
    )
    write_duration(written.oldest_wait, flow.oldest_wait)
    available = counts.get(JobState.AVAILABLE, BoundedCount(0, more=False))
    write_duration(written.drain_time, flow.time_for(available.jobs))
    return written
