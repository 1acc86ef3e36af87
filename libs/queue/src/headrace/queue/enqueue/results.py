"""What stands for a job that is not to be: an earlier one, by its idempotency key or its uniqueness."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True)
class ExistingJob:
    """A job that stands for another one, which would be a duplicate of it."""

    job_id: int
    by: Literal["key", "unique"]
    """What they have in common."""
    until: datetime | None
    """When that ends: the key's expiry, the end of the uniqueness' period. None: as long as the job's state does."""


@dataclass(frozen=True)
class Enqueued:
    """A job was accepted, now or before."""

    job_id: int
    duplicate: bool = False
    """Whether the job was there before."""
    reason: Literal["key", "unique"] | None = None
    """What made it a duplicate: its idempotency key, or another job that holds its uniqueness."""
