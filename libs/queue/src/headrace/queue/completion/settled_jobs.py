"""Tells the worker's other parts which jobs are settled: their attempts' outcomes are in the database, or are void."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headrace.queue.events.event import EventType
from headrace.queue.events.publisher import JobEvent
from headrace.queue.execution.running_job import RunningJob
from headrace.queue.job import JobState

Settled = tuple[RunningJob, JobState | None]
"""A job and its new state; None if the attempt no longer counts, because the job has a newer lease."""
Listener = Callable[[Sequence[Settled]], None]

_EVENT_TYPES = {
    JobState.COMPLETED: EventType.COMPLETED,
    JobState.RETRYABLE: EventType.FAILED,
    JobState.DISCARDED: EventType.DISCARDED,
    JobState.CANCELLED: EventType.CANCELLED,
    JobState.QUARANTINED: EventType.QUARANTINED,
    JobState.SCHEDULED: EventType.SNOOZED,
    JobState.AVAILABLE: EventType.RELEASED,
}


class SettledJobs:
    """Passes settled jobs from the parts that settle them to the parts that listen."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Calls a listener with each batch of settled jobs, on the event loop, in the order of subscription."""
        self._listeners.append(listener)

    def announce(self, settled: Sequence[Settled]) -> None:
        """Calls the listeners. To be called once per job, after the commit."""
        for listener in self._listeners:
            listener(settled)


def job_events(settled: Sequence[Settled]) -> list[JobEvent]:
    """Returns an event for each settled job whose attempt counted."""
    return [
        (_EVENT_TYPES[state], job.id, job.kind.name, job.queue, job.attempt)
        for job, state in settled
        if state is not None
    ]
