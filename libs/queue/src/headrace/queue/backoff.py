"""The one formula for growing waits: retries of jobs, and reconnects to the database."""

from __future__ import annotations

import math


def exponential_wait(attempt: int, *, base: float, factor: float, cap: float) -> float:
    """Returns base · factor^(attempt - 1), at most `cap`; `attempt` counts from 1.

    The comparison is made in logarithms, because the power overflows a float after some hundred attempts.
    """
    if (attempt - 1) * math.log(factor) >= math.log(cap / base):
        return cap
    return min(base * factor ** (attempt - 1), cap)
