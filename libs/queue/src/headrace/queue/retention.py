"""How long jobs are kept once they have ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

from headrace.queue.arguments import require_type

LONGEST_KEPT = timedelta(days=3660)


@dataclass(frozen=True)
class Retention:
    """How long finished jobs are kept, by the state they have ended in. A queue may have its own: see set_retention.

    Raises:
        ValueError: A time is below 0, or longer than ten years.
        TypeError: A time is no timedelta.
    """

    completed: timedelta = timedelta(hours=24)
    cancelled: timedelta = timedelta(hours=24)
    discarded: timedelta = timedelta(days=14)
    quarantined: timedelta = timedelta(days=14)

    def __post_init__(self) -> None:
        """Refuses what would end in the cleaner, long after."""
        require_kept("retention", asdict(self))


def require_kept(where: str, times: Mapping[str, timedelta]) -> None:
    """Makes sure that jobs can be kept for so long. Raises ValueError and TypeError."""
    require_type(where, timedelta, **times)
    for state, time in times.items():
        if not timedelta(0) <= time <= LONGEST_KEPT:
            raise ValueError(f"{where}: {state} must be at least 0 and at most ten years, and is {time}")
