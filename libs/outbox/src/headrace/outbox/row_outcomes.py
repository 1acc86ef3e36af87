"""Decides from a row's result what happens to the row: sent, retried, or parked."""

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import assert_never

from headrace.outbox.backoff import Backoff
from headrace.outbox.responses import Enqueued, Rejected
from headrace.outbox.sender import Delivery, LeasedRow
from headrace.outbox.settings import RelaySettings

_TOO_OLD = "TOO_OLD"


@dataclass(frozen=True)
class Sent:
    """The row became a job."""

    row: LeasedRow
    job_id: str


@dataclass(frozen=True)
class RetryLater:
    """The row is retried after a pause."""

    row: LeasedRow
    pause: timedelta
    code: str
    error: str
    alerts: bool


@dataclass(frozen=True)
class Parked:
    """The row is set aside, with an alert."""

    row: LeasedRow
    code: str
    error: str


RowOutcome = Sent | RetryLater | Parked


class RetryRules:
    """Decides each row's outcome, and draws the pauses with their jitter."""

    def __init__(self, settings: RelaySettings, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng

    def outcomes(self, rows: list[LeasedRow], delivery: Delivery, outage_pause: timedelta | None) -> list[RowOutcome]:
        """Returns the outcomes of one round; rows that weren't sent in time have none: their lease expires."""
        outcomes = (self._verdict(row, delivery, outage_pause) for row in rows)
        return [outcome for outcome in outcomes if outcome is not None]

    def outage_pause(self, failures: int, refused: Rejected | None = None) -> timedelta:
        """Draws how long the relay pauses after this many failed rounds in a row."""
        return self._pause(self._settings.outage_backoff, failures, refused)

    def _verdict(self, row: LeasedRow, delivery: Delivery, outage_pause: timedelta | None) -> RowOutcome | None:
        if row.expired:
            age = self._settings.park_after
            return Parked(row, _TOO_OLD, f"{_TOO_OLD}: not accepted within {age}; the idempotency key may expire soon")
        answer = delivery.answer(row)
        match answer:
            case Enqueued(job_id):
                return Sent(row, job_id)
            case Rejected() if answer is delivery.outage:
                # The row is not the cause: it is retried when the relay resumes.
                pause = outage_pause or timedelta(0)
                return RetryLater(row, pause, answer.code.name, answer.error, answer.alerts)
            case Rejected() if answer.parks:
                return Parked(row, answer.code.name, answer.error)
            case Rejected():
                pause = self._pause(self._settings.row_backoff, row.attempts, answer)
                return RetryLater(row, pause, answer.code.name, answer.error, answer.alerts)
            case None:
                return None
            case never:
                assert_never(never)

    def _pause(self, backoff: Backoff, failures: int, refused: Rejected | None) -> timedelta:
        pause = backoff.pause(failures, self._rng)
        if refused is None or refused.retry_after is None:
            return pause
        # Not earlier than the service asked for, and not all at once.
        return max(pause, refused.retry_after * self._rng.uniform(1.0, 1.2))
