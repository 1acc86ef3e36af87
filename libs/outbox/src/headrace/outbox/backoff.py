"""Exponential backoff with jitter, for rows and for the relay as a whole."""

import random
from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True)
class Backoff:
    """How long to pause after the n-th failure in a row: `base * factor ** (n - 1)`, at most `cap`.

    The upper half of each pause is random, so that relays that failed together don't retry together.
    """

    base: timedelta
    factor: float
    cap: timedelta

    def __post_init__(self) -> None:
        if not timedelta(0) < self.base <= self.cap or self.factor < 1:
            raise ValueError(f"a backoff needs 0 < base <= cap and factor >= 1; given: {self}")

    def pause(self, failures: int, rng: random.Random) -> timedelta:
        """Draws the pause after this many failures in a row (1 or more)."""
        exponent = min(failures - 1, 64)  # far past any cap, and below what a float can hold
        longest = min(self.base.total_seconds() * self.factor**exponent, self.cap.total_seconds())
        return timedelta(seconds=longest * rng.uniform(0.5, 1.0))
