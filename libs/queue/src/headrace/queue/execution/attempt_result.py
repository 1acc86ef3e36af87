"""What an attempt came to: made by the executor, written by the completer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from headrace.queue.job import JobState


@dataclass(frozen=True)
class AttemptResult:
    """What became of an attempt, as the table will say it."""

    state: JobState
    counts_as_attempt: bool = True
    """Whether the attempt counts against the retry budget."""
    delay_ms: int = 0
    error: dict[str, Any] | None = None
    output: str | None = None
    """JSON text."""


COMPLETED = AttemptResult(JobState.COMPLETED)
RELEASE = AttemptResult(JobState.AVAILABLE, counts_as_attempt=False)
