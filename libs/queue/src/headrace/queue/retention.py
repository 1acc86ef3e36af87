"""How long finished jobs are kept."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta

from headrace.queue.arguments import require_type

LONGEST_KEPT = timedelta(days=3660)


@dataclass(frozen=True)
class Retention:
    """How long finished jobs are kept, by the state they ended in. A queue may override it: see `set_retention`.

    Raises:
        ValueError: A time is below 0, or longer than ten years.
        TypeError: A time is not a timedelta.
    """

    completed: timedelta = timedelta(hours=24)
    cancelled: timedelta = timedelta(hours=24)
    discarded: timedelta = timedelta(days=14)
    quarantined: timedelta = timedelta(days=14)

    def __post_init__(self) -> None:
        """Rejects invalid times now rather than when the cleaner uses them."""
        require_kept("retention", asdict(self))


def require_kept(where: str, times: Mapping[str, timedelta]) -> None:
    """Raises ValueError or TypeError where jobs can't be kept that long."""
    require_type(where, timedelta, **times)
    for state, time in times.items():
        if not timedelta(0) <= time <= LONGEST_KEPT:
            raise ValueError(f"{where}: {state} must be at least 0 and at most ten years, and is {time}")
