"""Why a job does not run: the engine's reasons on the wire."""

from functools import singledispatch
from typing import Any

from headrace.jobs.v1 import explanation_pb2
from headrace.queue import AttemptError, Explanation, reasons
from jobs_service.translate.jobs import STATES, write_error
from jobs_service.translate.values import write_duration, write_time

Written = explanation_pb2.Explanation


def write_explanation(explanation: Explanation) -> Written:
    """Writes why a job does not run."""
    answer = Written(summary=explanation.summary)
    field, evidence = _written(explanation.reason)
    getattr(answer, field).CopyFrom(evidence)
    return answer


@singledispatch
def _written(reason: Any) -> tuple[str, Any]:
    """The field of a reason, and its evidence."""
    raise TypeError(f"the contract has no words for {reason!r}")


@_written.register
def _(reason: reasons.Finished) -> tuple[str, Any]:
    evidence = Written.Finished(state=STATES[reason.state], last_error=_error(reason.last_error))
    write_time(evidence.finished_at, reason.finished_at)
    return "finished", evidence


@_written.register
def _(reason: reasons.Quarantined) -> tuple[str, Any]:
    evidence = Written.Quarantined(error=_error(reason.error), deaths=reason.deaths)
    write_time(evidence.quarantined_at, reason.quarantined_at)
    return "quarantined", evidence


@_written.register
def _(reason: reasons.Hung) -> tuple[str, Any]:
    evidence = Written.Hung(worker=reason.worker)
    write_time(evidence.hung_since, reason.hung_since)
    write_time(evidence.claimed_at, reason.claimed_at)
    return "hung", evidence


@_written.register
def _(reason: reasons.Running) -> tuple[str, Any]:
    evidence = Written.Running(worker=reason.worker)
    write_time(evidence.claimed_at, reason.claimed_at)
    write_time(evidence.deadline, reason.deadline)
    write_duration(evidence.silence, reason.silence)
    write_time(evidence.cancel_requested_at, reason.cancel_requested_at)
    return "running", evidence


@_written.register
def _(reason: reasons.Scheduled) -> tuple[str, Any]:
    evidence = Written.Scheduled()
    write_time(evidence.run_at, reason.run_at)
    return "scheduled", evidence


@_written.register
def _(reason: reasons.WaitsForRetry) -> tuple[str, Any]:
    evidence = Written.WaitsForRetry(
        attempt=reason.attempt, max_attempts=reason.max_attempts, last_error=_error(reason.last_error)
    )
    write_time(evidence.retry_at, reason.retry_at)
    return "waits_for_retry", evidence


@_written.register
def _(_reason: reasons.Pending) -> tuple[str, Any]:
    return "pending", Written.Pending()


@_written.register
def _(reason: reasons.Paused) -> tuple[str, Any]:
    evidence = Written.Paused(scope=reason.what, name=reason.name, paused_by=reason.paused_by, others=reason.others)
    write_time(evidence.paused_at, reason.paused_at)
    return "paused", evidence


@_written.register
def _(reason: reasons.KindNotKnown) -> tuple[str, Any]:
    evidence = Written.KindUnknown(kind=reason.kind, live_workers=reason.live_workers)
    write_time(evidence.last_known_at, reason.last_known_at)
    return "kind_unknown", evidence


@_written.register
def _(reason: reasons.VersionNotKnown) -> tuple[str, Any]:
    return "version_unknown", Written.VersionUnknown(
        kind=reason.kind, version=reason.version, worker_version=reason.worker_version
    )


@_written.register
def _(reason: reasons.QueueUnserved) -> tuple[str, Any]:
    return "queue_unserved", Written.QueueUnserved(queue=reason.queue, served_queues=reason.served_queues)


@_written.register
def _(reason: reasons.JobsDisabled) -> tuple[str, Any]:
    return "jobs_disabled", Written.JobsDisabled(workers=reason.workers)


@_written.register
def _(reason: reasons.QueueFull) -> tuple[str, Any]:
    return "queue_full", Written.QueueFull(
        queue=reason.queue, max_running=reason.max_running, jobs_before=reason.jobs_before, more=reason.more
    )


@_written.register
def _(reason: reasons.Behind) -> tuple[str, Any]:
    evidence = Written.Behind(
        jobs_before=reason.jobs_before,
        more=reason.more,
        jobs_per_second=reason.jobs_per_second,
        free_slots=reason.free_slots,
        workers=reason.workers,
        hung_workers=reason.hung_workers,
    )
    write_duration(evidence.eta, reason.eta)
    return "behind", evidence


@_written.register
def _(reason: reasons.Next) -> tuple[str, Any]:
    evidence = Written.Next()
    write_time(evidence.ready_at, reason.ready_at)
    return "next", evidence


@_written.register
def _(reason: reasons.Duplicate) -> tuple[str, Any]:
    state = STATES[reason.state] if reason.state else None
    evidence = Written.Duplicate(job_id=str(reason.job_id), state=state, by=reason.by)
    write_time(evidence.until, reason.until)
    return "duplicate", evidence


@_written.register
def _(_reason: reasons.NotEnqueued) -> tuple[str, Any]:
    return "not_enqueued", Written.NotEnqueued()


def _error(error: AttemptError | None) -> Any:
    return write_error(error) if error else None
