"""What a handler may say about its attempt. Returning nothing means Done; an exception means a failed attempt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from headrace.queue.arguments import require_type


@dataclass(frozen=True)
class Done:
    """The job is completed.

    `output` is kept with the job: any JSON value of up to 256 KiB. One that is none makes a failed attempt.
    """

    output: Any = None


@dataclass(frozen=True)
class Retry:
    """The attempt failed. Tried again after `after`, or by the backoff when that is None, while retries are left."""

    error: str
    after: timedelta | None = None

    def __post_init__(self) -> None:
        """Fails where the mistake is made, in the handler, and not where the outcome is read."""
        if self.after is not None:
            require_type("Retry", timedelta, after=self.after)


@dataclass(frozen=True)
class Snooze:
    """Not now: the job waits for `delay` and runs again. The attempt is not spent."""

    delay: timedelta

    def __post_init__(self) -> None:
        """As of Retry."""
        require_type("Snooze", timedelta, delay=self.delay)


@dataclass(frozen=True)
class Cancel:
    """The job is not to be done any more. Final."""

    reason: str


@dataclass(frozen=True)
class Discard:
    """The job can't be done, and trying again would not help. Final, whatever retries are left."""

    reason: str


Outcome = Done | Retry | Snooze | Cancel | Discard
