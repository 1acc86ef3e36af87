"""Explanations: why a job isn't running."""

from functools import singledispatch
from typing import Any

from headrace.jobs.v1 import explanation_pb2
from headrace.queue import AttemptFailure, Explanation, reasons
from jobs_service.convert.jobs import STATES, write_error
from jobs_service.convert.values import write_duration, write_time

Written = explanation_pb2.Explanation


def write_explanation(explanation: Explanation) -> Written:
    """Writes an explanation."""
    written = Written(summary=explanation.summary)
    getattr(written, explanation.reason.code).CopyFrom(_evidence(explanation.reason))
    return written


@singledispatch
def _evidence(reason: Any) -> Any:
    """Writes the evidence of a reason."""
    raise TypeError(f"the contract has no message for {reason!r}")


@_evidence.register
def _(reason: reasons.Finished) -> Any:
    evidence = Written.Finished(state=STATES[reason.state], last_error=_error(reason.last_error))
    write_time(evidence.finished_at, reason.finished_at)
    return evidence


@_evidence.register
def _(reason: reasons.Quarantined) -> Any:
    evidence = Written.Quarantined(error=_error(reason.error), deaths=reason.deaths)
    write_time(evidence.quarantined_at, reason.quarantined_at)
    return evidence


@_evidence.register
def _(reason: reasons.Hung) -> Any:
    evidence = Written.Hung(worker=reason.worker)
    write_time(evidence.hung_since, reason.hung_since)
    write_time(evidence.claimed_at, reason.claimed_at)
    return evidence


@_evidence.register
def _(reason: reasons.Running) -> Any:
    evidence = Written.Running(worker=reason.worker)
    write_time(evidence.claimed_at, reason.claimed_at)
    write_time(evidence.deadline, reason.deadline)
    write_duration(evidence.silence, reason.silence)
    write_time(evidence.cancel_requested_at, reason.cancel_requested_at)
    return evidence


@_evidence.register
def _(reason: reasons.Scheduled) -> Any:
    evidence = Written.Scheduled()
    write_time(evidence.run_at, reason.run_at)
    return evidence


@_evidence.register
def _(reason: reasons.WaitsForRetry) -> Any:
    evidence = Written.WaitsForRetry(
        attempt=reason.attempt, max_attempts=reason.max_attempts, last_error=_error(reason.last_error)
    )
    write_time(evidence.retry_at, reason.retry_at)
    return evidence


@_evidence.register
def _(_reason: reasons.Pending) -> Any:
    return Written.Pending()


@_evidence.register
def _(reason: reasons.Paused) -> Any:
    evidence = Written.Paused(scope=reason.what, name=reason.name, paused_by=reason.paused_by, others=reason.others)
    write_time(evidence.paused_at, reason.paused_at)
    return evidence


@_evidence.register
def _(reason: reasons.KindNotKnown) -> Any:
    evidence = Written.KindUnknown(kind=reason.kind, live_workers=reason.live_workers)
    write_time(evidence.last_known_at, reason.last_known_at)
    return evidence


@_evidence.register
def _(reason: reasons.VersionNotKnown) -> Any:
    return Written.VersionUnknown(kind=reason.kind, version=reason.version, worker_version=reason.worker_version)


@_evidence.register
def _(reason: reasons.QueueUnserved) -> Any:
    return Written.QueueUnserved(queue=reason.queue, served_queues=reason.served_queues)


@_evidence.register
def _(reason: reasons.JobsDisabled) -> Any:
    return Written.JobsDisabled(workers=reason.workers)


@_evidence.register
def _(reason: reasons.QueueFull) -> Any:
    return Written.QueueFull(
        queue=reason.queue, max_running=reason.max_running, jobs_before=reason.jobs_before, more=reason.more
    )


@_evidence.register
def _(reason: reasons.Behind) -> Any:
    evidence = Written.Behind(
        jobs_before=reason.jobs_before,
        more=reason.more,
        jobs_per_second=reason.jobs_per_second,
        free_slots=reason.free_slots,
        workers=reason.workers,
        hung_workers=reason.hung_workers,
    )
    write_duration(evidence.eta, reason.eta)
    return evidence


@_evidence.register
def _(reason: reasons.Next) -> Any:
    evidence = Written.Next()
    write_time(evidence.ready_at, reason.ready_at)
    return evidence


@_evidence.register
def _(reason: reasons.Duplicate) -> Any:
    state = STATES[reason.state] if reason.state else None
    evidence = Written.Duplicate(job_id=str(reason.job_id), state=state, by=reason.by)
    write_time(evidence.until, reason.until)
    return evidence


@_evidence.register
def _(_reason: reasons.NotEnqueued) -> Any:
    return Written.NotEnqueued()


def _error(error: AttemptFailure | None) -> Any:
    return write_error(error) if error else None
