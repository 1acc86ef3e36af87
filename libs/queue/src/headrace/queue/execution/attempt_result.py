"""The result of an attempt, and the rules by which an outcome becomes one. The completer writes it."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from opentelemetry.trace import Span

from headrace.queue import tracing
from headrace.queue.db.jsonb import encoded
from headrace.queue.execution.attempt_failure import AttemptFailedError
from headrace.queue.execution.outcomes import Cancel, Discard, Done, Outcome, Retry, Snooze
from headrace.queue.execution.retry_policy import RetryPolicy
from headrace.queue.execution.running_job import OUTPUT_LIMIT, RunningJob, Stop
from headrace.queue.job import JobState
from headrace.redaction import redacted_text

logger = logging.getLogger(__name__)
MESSAGE_LIMIT = 2_000
TRACEBACK_LIMIT = 8_000
# The longest delay that a handler may ask for. Postgres can't add much more to a time.
LONGEST_DELAY = timedelta(days=3660)


@dataclass(frozen=True)
class AttemptResult:
    """The state that an attempt leaves its job in."""

    state: JobState
    counts_as_attempt: bool = True
    """Whether the attempt counts against `max_retries`."""
    delay_ms: int = 0
    error: dict[str, Any] | None = None
    output: str | None = None
    """JSON text."""


COMPLETED = AttemptResult(JobState.COMPLETED)
RELEASE = AttemptResult(JobState.AVAILABLE, counts_as_attempt=False)


class ResultRules:
    """Makes the results of attempts, and marks their spans. An attempt that simply succeeds doesn't need it.

    Args:
        policy: The backoff between attempts.
    """

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy

    def of_outcome(self, job: RunningJob, span: Span, outcome: Outcome) -> AttemptResult:
        """Returns the result for what the handler returned.

        Raises:
            TypeError: The handler returned something else than an outcome, or an output that is not JSON.
            ValueError: The output is too large, or can't be stored.
        """
        match outcome:
            case Done(output=None):
                return COMPLETED
            case Done(output=output):
                return AttemptResult(JobState.COMPLETED, output=encoded(output, what="the output", limit=OUTPUT_LIMIT))
            case Retry(error=text, after=after):
                return self._failed(job, span, "Retry", text, after=after)
            case Snooze(delay=delay):
                return AttemptResult(JobState.SCHEDULED, counts_as_attempt=False, delay_ms=_ms(delay))
            case Cancel(reason=reason):
                return AttemptResult(JobState.CANCELLED, error=_error(job, "Cancel", reason))
            case Discard(reason=reason):
                tracing.failed(span, "Discard")
                return AttemptResult(JobState.DISCARDED, error=_error(job, "Discard", reason))
        raise TypeError(not_an_outcome(outcome))

    def of_exception(self, job: RunningJob, span: Span, error: BaseException) -> AttemptResult:
        """Returns the result for an exception that the handler raised."""
        failure = AttemptFailedError.of(error)
        return self._failed(job, span, failure.type, failure.message, failure.trace)

    def of_own_cancellation(self, job: RunningJob, span: Span) -> AttemptResult:
        """Returns the result for a CancelledError that is not due to the engine."""
        return self._failed(job, span, "CancelledError", "the handler raised CancelledError")

    def of_unreadable_payload(self, job: RunningJob, span: Span, reason: str) -> AttemptResult:
        """Returns the result for a job whose payload can't be decoded."""
        tracing.failed(span, "undecodable")
        error = _error(job, "undecodable", reason)
        return AttemptResult(JobState.QUARANTINED, counts_as_attempt=False, error=error)

    def of_stop(self, job: RunningJob, span: Span) -> AttemptResult:
        """Returns the result for an attempt that was told to stop."""
        match job.stop_reason:
            case Stop.TIMEOUT:
                return self._failed(job, span, "timeout", f"the attempt took longer than its {job.timeout:g} s")
            case Stop.CANCELLED:
                tracing.failed(span, "cancelled")
                return AttemptResult(JobState.CANCELLED)
            case _:
                tracing.failed(span, "interrupted")
                return RELEASE

    def if_rolled_back(self, job: RunningJob, result: AttemptResult) -> AttemptResult:
        """Returns the result for a job that its handler has completed itself, in case that was rolled back."""
        if result.state is not JobState.COMPLETED:
            return result
        text = "the handler returned, but the transaction in which it completed the job was rolled back"
        return self._failure(job, _error(job, "rolled_back", text), None)

    def _failed(
        self, job: RunningJob, span: Span, type_: str, message: str, trace: str = "", after: timedelta | None = None
    ) -> AttemptResult:
        tracing.failed(span, type_)
        result = self._failure(job, _error(job, type_, message, trace), after)
        if result.state is JobState.DISCARDED:
            logger.error("job %d (%s) is discarded after attempt %d: %s", job.id, job.kind.name, job.attempt, type_)
        else:
            logger.warning("job %d (%s) failed in attempt %d: %s", job.id, job.kind.name, job.attempt, type_)
        return result

    def _failure(self, job: RunningJob, error: dict[str, Any], after: timedelta | None) -> AttemptResult:
        if job.attempt > job.max_retries:
            return AttemptResult(JobState.DISCARDED, error=error)
        delay = self._policy.delay(job.attempt) if after is None else after
        return AttemptResult(JobState.RETRYABLE, delay_ms=_ms(delay), error=error)


def not_an_outcome(returned: object) -> str:
    """Returns the error message for a handler that returned something else than an outcome."""
    return f"handler returned {type(returned).__name__}; return None, or one of Done, Retry, Snooze, Cancel, Discard"


def _ms(delay: timedelta) -> int:
    return int(min(max(delay, timedelta(0)), LONGEST_DELAY) / timedelta(milliseconds=1))


def _error(job: RunningJob, type_: str, message: str, trace: str = "") -> dict[str, Any]:
    return {
        "attempt": job.attempt,
        "lease": job.lease,
        "at": datetime.now(UTC).isoformat(),
        "type": type_,
        "message": _storable(redacted_text(str(message)))[:MESSAGE_LIMIT],
        "traceback": _storable(redacted_text(trace))[-TRACEBACK_LIMIT:],
    }


def _storable(text: str) -> str:
    """Replaces the characters that jsonb rejects: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "�").encode(errors="replace").decode()
