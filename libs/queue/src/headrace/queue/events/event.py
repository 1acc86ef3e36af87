"""What happens to jobs, as events, and their encoding in notifications."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What can happen to a job."""

    COMPLETED = "completed"
    FAILED = "failed"
    """An attempt failed; the job will be retried."""
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    SNOOZED = "snoozed"
    RELEASED = "released"
    """A worker stopped before the job had ended. The job is available again; the attempt doesn't count."""
    RESCUED = "rescued"
    """Its worker died; the job is available again."""


@dataclass(frozen=True)
class Event:
    """Something that happened to a job."""

    what: EventType
    job_id: int
    kind: str
    queue: str
    attempt: int
    worker: str
    """The worker that publishes the event. For a job of a dead worker, that is the rescuer."""


@dataclass(frozen=True)
class EventsMissed:
    """Events are missing at this point."""

    reason: str
    events: int | None = None
    """How many; None if unknown."""


def encode_events(worker: str, events: list[Event], missed: int, *, longest: int) -> list[str]:
    """Returns the events of one worker as texts of at most `longest` bytes each."""
    texts: list[str] = []
    rest: list[list[Any]] = [[e.what, e.job_id, e.kind, e.queue, e.attempt] for e in events]
    while rest or missed:
        count = len(rest)
        while len(text := json.dumps([worker, missed, rest[:count]], separators=(",", ":"))) > longest:
            count = count * longest // len(text)
        texts.append(text)
        rest, missed = rest[count:], 0
    return texts


def decode_events(text: str) -> list[Event | EventsMissed]:
    """Returns the events in a text of `encode_events`."""
    worker, missed, events = json.loads(text)
    decoded: list[Event | EventsMissed] = []
    if missed:
        decoded.append(EventsMissed("more events happened than can be published", missed))
    return decoded + [
        Event(EventType(what), job_id, kind, queue, attempt, worker) for what, job_id, kind, queue, attempt in events
    ]
