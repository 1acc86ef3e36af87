"""How long a failed job waits for its next attempt."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from datetime import timedelta
from numbers import Real

from headrace.queue.arguments import require_type


@dataclass(frozen=True)
class RetryPolicy:
    """Exponential backoff: base · factor^(attempt - 1), at most `cap`, with jitter.

    The defaults wait about 3 s, 12 s, 48 s, 3 min and 13 min, so that five retries outlast a greylisting mail server.

    Args:
        base: The wait after the first attempt.
        factor: What each wait is multiplied by, at least 1.
        cap: The longest wait, before jitter; at most a year.
        jitter: Each wait is spread evenly over ± this share of it, 0 to 1, so that what failed together does not come
            back together.
        rng: Where the jitter comes from; a test can seed it.
    """

    base: timedelta = timedelta(seconds=3)
    factor: float = 4.0
    cap: timedelta = timedelta(hours=1)
    jitter: float = 0.1
    rng: random.Random = field(default_factory=random.Random, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Refuses values that make no sense; the text names the field."""
        require_type("retry policy", timedelta, base=self.base, cap=self.cap)
        require_type("retry policy", Real, factor=self.factor, jitter=self.jitter)
        if self.base <= timedelta(0) or not self.base <= self.cap <= timedelta(days=365):
            raise ValueError("retry policy: base must be above 0, and cap at least base and at most 365 days")
        if not self.factor >= 1 or not 0 <= self.jitter <= 1:
            raise ValueError("retry policy: factor must be at least 1, and jitter 0 to 1")

    def delay(self, attempt: int) -> timedelta:
        """The wait after the given attempt, counted from 1."""
        base, cap = self.base.total_seconds(), self.cap.total_seconds()
        # Compared as logarithms, since the power itself may overflow a float.
        reached = (attempt - 1) * math.log(self.factor) >= math.log(cap / base)
        seconds = cap if reached else min(base * self.factor ** (attempt - 1), cap)
        return timedelta(seconds=seconds * self.rng.uniform(1 - self.jitter, 1 + self.jitter))
