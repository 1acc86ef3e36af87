"""Jobs, and the filters of job lists."""

from collections.abc import Iterable

import grpc
from google.protobuf import any_pb2

from headrace.chassis.rpc.errors import RpcError, error_info
from headrace.jobs.v1 import job_pb2
from headrace.queue import AttemptFailure, Job, JobFilter, JobState, Kinds
from jobs_service.convert.values import (
    Violations,
    noting,
    read_time,
    refuse,
    write_duration,
    write_struct,
    write_time,
    write_value,
)

MAX_ID = 2**63 - 1
TYPE_URL_PREFIX = "type.googleapis.com/"

STATES: dict[JobState, job_pb2.JobState] = {
    JobState.SCHEDULED: job_pb2.JOB_STATE_SCHEDULED,
    JobState.AVAILABLE: job_pb2.JOB_STATE_AVAILABLE,
    JobState.RUNNING: job_pb2.JOB_STATE_RUNNING,
    JobState.RETRYABLE: job_pb2.JOB_STATE_RETRYABLE,
    JobState.COMPLETED: job_pb2.JOB_STATE_COMPLETED,
    JobState.CANCELLED: job_pb2.JOB_STATE_CANCELLED,
    JobState.DISCARDED: job_pb2.JOB_STATE_DISCARDED,
    JobState.QUARANTINED: job_pb2.JOB_STATE_QUARANTINED,
    JobState.PENDING: job_pb2.JOB_STATE_PENDING,
}
_STATES_READ = {theirs: ours for ours, theirs in STATES.items()}


def read_job_id(text: str) -> int:
    """Reads a job's id.

    Raises:
        RpcError: NOT_FOUND: it is not an id that the service returns.
    """
    if text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text and int(text) <= MAX_ID:
        return int(text)
    raise RpcError(
        grpc.StatusCode.NOT_FOUND, f"Job {text[:40]!r} does not exist.", error_info("JOB_NOT_FOUND", {"job_id": text})
    )


def read_state(state: job_pb2.JobState) -> JobState:
    """Reads a state. Raises ValueError for an unknown one, which the rules of the .proto file have rejected before."""
    try:
        return _STATES_READ[state]
    except KeyError:
        raise ValueError(f"{state} is not a job state") from None


def read_filter(sent: job_pb2.JobFilter, kinds: Kinds) -> JobFilter:
    """Reads a filter that satisfies the rules of the .proto file. A kind includes its former names.

    Raises:
        RpcError: INVALID_ARGUMENT, with every field that Postgres or Python can't represent.
    """
    violations: Violations = []
    created_after = created_before = None
    if sent.HasField("created_after"):
        with noting(violations, "filter.created_after"):
            created_after = read_time(sent.created_after)
    if sent.HasField("created_before"):
        with noting(violations, "filter.created_before"):
            created_before = read_time(sent.created_before)
    for field, words in (("kinds", sent.kinds), ("queues", sent.queues), ("tags", sent.tags)):
        violations += _nul(f"filter.{field}", words)
    if violations:
        raise refuse(violations)
    return JobFilter(
        states=tuple(read_state(state) for state in sent.states),
        kinds=tuple(name for kind in sent.kinds for name in names_of(kind, kinds)),
        queues=tuple(sent.queues),
        tags=tuple(sent.tags),
        created_after=created_after,
        created_before=created_before,
    )


def names_of(name: str, kinds: Kinds) -> tuple[str, ...]:
    """Returns all names of a kind. For a former name, or an unknown one, returns that name alone."""
    return kinds[name].names if name in kinds and kinds[name].name == name else (name,)


def _nul(field: str, words: Iterable[str]) -> Violations:
    return [(f"{field}[{place}]", "must not contain NUL") for place, word in enumerate(words) if "\0" in word]


def write_job(job: Job) -> job_pb2.Job:
    """Writes a job."""
    written = job_pb2.Job(
        id=str(job.id),
        kind=job.kind,
        queue=job.queue,
        state=STATES[job.state],
        priority=job.priority,
        attempt=job.attempt,
        max_retries=job.max_retries,
        version=job.version,
        payload=any_pb2.Any(type_url=TYPE_URL_PREFIX + job.kind, value=job.payload),
        caller=job.caller,
        lease=job.lease,
        worker=job.worker or "",
        errors=[write_error(error) for error in job.errors],
        trace_id=_trace_id(job.traceparent),
        tags=job.tags,
        deaths=job.deaths,
    )
    write_duration(written.timeout, job.timeout)
    for field, time in (
        (written.created_at, job.created_at),
        (written.ready_at, job.ready_at),
        (written.claimed_at, job.claimed_at),
        (written.finished_at, job.finished_at),
        (written.hung_since, job.hung_since),
        (written.cancel_requested_at, job.cancel_requested_at),
    ):
        write_time(field, time)
    if job.metadata is not None:
        write_struct(written.metadata, job.metadata)
    for slot, value in ((written.output, job.output), (written.progress, job.progress)):
        if value is not None:
            write_value(slot, value)
    return written


def write_error(error: AttemptFailure) -> job_pb2.AttemptFailure:
    """Writes a failed attempt."""
    written = job_pb2.AttemptFailure(
        attempt=error.attempt,
        lease=error.lease,
        type=error.type,
        message=error.message,
        traceback=error.traceback,
    )
    write_time(written.at, error.at)
    return written


def _trace_id(traceparent: str | None) -> str:
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) > 1 else ""
