"""How long a failed job waits for its next attempt."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import timedelta
from numbers import Real

from headrace.queue.arguments import require_type
from headrace.queue.backoff import exponential_wait


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff: base · factor^(attempt - 1), at most `cap`, with jitter.

    The defaults wait about 3 s, 12 s, 48 s, 3 min and 13 min, so that five retries outlast a greylisting mail server.

    Args:
        base: The wait after the first attempt.
        factor: What each wait is multiplied by, at least 1.
        cap: The longest wait, before jitter; at most a year.
        jitter: Each wait is spread evenly over ± this share of it, 0 to 1, so that jobs that failed together don't run
            again together.
        rng: The source of the jitter; a test can seed it.

    Raises:
        TypeError: An argument has the wrong type; the text names it.
        ValueError: An argument is out of range; the text names it.
    """

    base: timedelta = timedelta(seconds=3)
    factor: float = 4.0
    cap: timedelta = timedelta(hours=1)
    jitter: float = 0.1
    rng: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Rejects values that are out of range."""
        require_type("retry policy", timedelta, base=self.base, cap=self.cap)
        require_type("retry policy", Real, factor=self.factor, jitter=self.jitter)
        if self.base <= timedelta(0) or not self.base <= self.cap <= timedelta(days=365):
            raise ValueError("retry policy: base must be above 0, and cap at least base and at most 365 days")
        if not self.factor >= 1 or not 0 <= self.jitter <= 1:
            raise ValueError("retry policy: factor must be at least 1, and jitter 0 to 1")

    def delay(self, attempt: int) -> timedelta:
        """Returns the wait after an attempt, which counts from 1."""
        base, cap = self.base.total_seconds(), self.cap.total_seconds()
        seconds = exponential_wait(attempt, base=base, factor=self.factor, cap=cap)
        return timedelta(seconds=seconds * self.rng.uniform(1 - self.jitter, 1 + self.jitter))
