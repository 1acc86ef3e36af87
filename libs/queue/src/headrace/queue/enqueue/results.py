"""What enqueueing a job returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from headrace.queue.value_class import value_class


@dataclass(frozen=True)
class ExistingJob:
    """A job that another one would be a duplicate of."""

    job_id: int
    by: Literal["key", "unique"]
    """What they have in common."""
    until: datetime | None
    """When that ends: when the key expires, or the uniqueness' period is over. None: when the job's state says so."""


@value_class
class Enqueued:
    """A job that exists, now or from an earlier call."""

    job_id: int
    duplicate: bool = False
    """Whether the job existed before."""
    reason: Literal["key", "unique"] | None = None
    """What made it a duplicate: its idempotency key, or another job that holds its uniqueness."""
