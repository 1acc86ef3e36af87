"""What a handler may return. None means Done. An exception means that the attempt failed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headrace.queue.arguments import require_type


@dataclass(frozen=True)
class Done:
    """The job is completed.

    `output` is kept with the job: any JSON value of up to 256 KiB. With any other value the attempt fails.
    """

    output: Any = None


@dataclass(frozen=True)
class Retry:
    """The attempt failed. While retries are left, the job is retried after `after`, or after the backoff if None."""

    error: str
    after: timedelta | None = None

    def __post_init__(self) -> None:
        """Raises where the mistake is made, in the handler, instead of where the outcome is read."""
        if self.after is not None:
            require_type("Retry", timedelta, after=self.after)


@dataclass(frozen=True)
class Snooze:
    """The job waits for `delay` and runs again. The attempt doesn't count against `max_retries`."""

    delay: timedelta

    def __post_init__(self) -> None:
        """Raises in the handler, as for Retry."""
        require_type("Snooze", timedelta, delay=self.delay)


@dataclass(frozen=True)
class Cancel:
    """The job is cancelled: it need not be done any more. Final."""

    reason: str


@dataclass(frozen=True)
class Discard:
    """The job is discarded: it can't be done, and a retry would not help. Final, whatever retries are left."""

    reason: str


Outcome = Done | Retry | Snooze | Cancel | Discard
