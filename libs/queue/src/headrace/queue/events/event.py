"""What happens to a job, as an event, and its wire form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class EventType(StrEnum):
    """What can happen to a job."""

    COMPLETED = "completed"
    FAILED = "failed"
    """An attempt failed; the job will be tried again."""
    DISCARDED = "discarded"
    CANCELLED = "cancelled"
    QUARANTINED = "quarantined"
    SNOOZED = "snoozed"
    HANDED_BACK = "handed_back"
    """A worker that ends could not finish it; the attempt is unspent."""
    RESCUED = "rescued"
    """Its worker died; it is in line again."""


@dataclass(frozen=True)
class Event:
    """Something happened to a job."""

    what: EventType
    job_id: int
    kind: str
    queue: str
    attempt: int
    worker: str
    """The worker that tells it; for RESCUED, and what else became of a dead worker's job, the rescuer."""


@dataclass(frozen=True)
class EventsMissed:
    """Events were missed here."""

    reason: str
    events: int | None = None
    """How many; None: unknown."""


def encode_events(worker: str, events: list[Event], missed: int, *, longest: int) -> list[str]:
    """Events of one worker as texts of at most `longest` bytes each."""
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
    """What a text of `packed` tells."""
    worker, missed, events = json.loads(text)
    heard: list[Event | EventsMissed] = [EventsMissed("more happened than could be told", missed)] if missed else []
    return heard + [
        Event(EventType(what), job_id, kind, queue, attempt, worker) for what, job_id, kind, queue, attempt in events
    ]
