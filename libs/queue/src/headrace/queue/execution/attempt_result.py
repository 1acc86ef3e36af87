"""The result of an attempt: the executor makes it, the completer writes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.queue.job import JobState


@dataclass(frozen=True)
class AttemptResult:
    """The state that an attempt leaves its job in."""

    state: JobState
    counts_as_attempt: bool = True
    """Whether the attempt counts against `max_retries`."""
    delay_ms: int = 0
    error: dict[str, Any] | None = None
    output: str | None = None
    """JSON text."""


COMPLETED = AttemptResult(JobState.COMPLETED)
RELEASE = AttemptResult(JobState.AVAILABLE, counts_as_attempt=False)
