"""Between the wire and the engine: requests into its values, its values into answers."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import grpc
from google.protobuf import any_pb2, timestamp_pb2
from google.protobuf.message import DecodeError
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace.chassis.rpc_errors import RpcError, bad_request, error_info
from headrace.chassis.rpc_validation import request_violations
from headrace.jobs.v1 import job_pb2, jobs_service_pb2, kind_pb2, queue_pb2
from headrace.queue import AttemptError, Job, JobState, Kind, Kinds, KindUnknown, NewJob, Queue, TraceParent
from jobs_service.refusals import payload_path

MAX_ID = 2**63 - 1
TYPE_URL_PREFIX = "type.googleapis.com/"

_STATES: dict[JobState, job_pb2.JobState] = {
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

# The fields of TraceContext are W3C headers, whatever OTEL_PROPAGATORS says of this process' own calls.
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])


def read_job_id(text: str) -> int:
    """Reads a job's id as we have given it out.

    Raises:
        RpcError: NOT_FOUND: we never gave out such a one.
    """
    if text.isascii() and text.isdigit() and len(text) < 20 and str(int(text)) == text and int(text) <= MAX_ID:
        return int(text)
    raise RpcError(
        grpc.StatusCode.NOT_FOUND, f"There is no job {text[:40]!r}.", error_info("JOB_NOT_FOUND", {"job_id": text})
    )


def read_enqueue(request: jobs_service_pb2.EnqueueRequest, *, caller: str, kinds: Kinds) -> NewJob:
    """Reads a job to accept, and checks its options by the rules of the .proto file.

    Raises:
        RpcError: INVALID_ARGUMENT, with every bad field, those of a readable payload included.
    """
    violations = request_violations(request)
    run_at = timeout = None
    if request.HasField("run_at"):
        with _noting(violations, "run_at"):
            run_at = request.run_at.ToDatetime(tzinfo=UTC)
    if request.HasField("timeout"):
        with _noting(violations, "timeout"):
            timeout = request.timeout.ToTimedelta()
    if violations:
        violations += _payload_violations(request.payload, kinds)
        named = ", ".join(field for field, _ in violations)
        raise RpcError(
            grpc.StatusCode.INVALID_ARGUMENT,
            f"The request breaks the rules of its fields: {named}",
            error_info("REQUEST_INVALID"),
            bad_request(violations),
        )
    return NewJob(
        payload=request.payload,
        caller=caller,
        key=request.idempotency_key,
        queue=request.queue or None,
        priority=request.priority if request.HasField("priority") else None,
        max_retries=request.max_retries if request.HasField("max_retries") else None,
        timeout=timeout,
        run_at=run_at,
        trace=read_trace(request.trace_context),
    )


@contextmanager
def _noting(violations: list[tuple[str, str]], field: str) -> Iterator[None]:
    """Notes a time that Python can't hold, unless the rules have noted that field before."""
    try:
        yield
    except (ValueError, OverflowError):
        if field not in dict(violations):
            violations.append((field, "must be a valid time between the years 1 and 9999"))


def _payload_violations(payload: any_pb2.Any, kinds: Kinds) -> list[tuple[str, str]]:
    try:
        message = kinds[payload.TypeName()].message_class.FromString(payload.value)
    except (KindUnknown, DecodeError):
        return []
    return [(payload_path(field), description) for field, description in request_violations(message)]


def read_trace(sent: jobs_service_pb2.TraceContext) -> TraceParent | None:
    """Reads what caused a job. None, as the W3C has it, where there is no valid traceparent."""
    headers = {"traceparent": sent.traceparent, "tracestate": sent.tracestate, "baggage": sent.baggage}
    clean: dict[str, str] = {}
    _W3C.inject(clean, _W3C.extract({name: value for name, value in headers.items() if value}, Context()))
    if "traceparent" not in clean:
        return None
    return TraceParent(clean["traceparent"], clean.get("tracestate", ""), clean.get("baggage", ""))


def trace_context(trace: TraceParent) -> Context:
    """Makes an OpenTelemetry context of a creation context."""
    return TraceContextTextMapPropagator().extract(
        {"traceparent": trace.traceparent, "tracestate": trace.tracestate}, Context()
    )


def read_state(state: job_pb2.JobState) -> JobState:
    """Reads a state that the rules of the .proto file have let pass."""
    return next(ours for ours, theirs in _STATES.items() if theirs == state)


def write_job(job: Job) -> job_pb2.Job:
    """Writes a job."""
    answer = job_pb2.Job(
        id=str(job.id),
        kind=job.kind,
        queue=job.queue,
        state=_STATES[job.state],
        priority=job.priority,
        attempt=job.attempt,
        max_retries=job.max_retries,
        version=job.version,
        payload=any_pb2.Any(type_url=TYPE_URL_PREFIX + job.kind, value=job.payload),
        caller=job.caller,
        lease=job.lease,
        worker=job.worker or "",
        errors=[_write_error(error) for error in job.errors],
        trace_id=_trace_id(job.traceparent),
    )
    answer.timeout.FromTimedelta(job.timeout)
    for field, time in (
        (answer.created_at, job.created_at),
        (answer.ready_at, job.ready_at),
        (answer.claimed_at, job.claimed_at),
        (answer.finished_at, job.finished_at),
        (answer.hung_since, job.hung_since),
        (answer.cancel_requested_at, job.cancel_requested_at),
    ):
        _write_time(field, time)
    return answer


def write_queue(queue: Queue) -> queue_pb2.Queue:
    """Writes a queue."""
    answer = queue_pb2.Queue(name=queue.name, paused_by=queue.paused_by or "")
    _write_time(answer.paused_at, queue.paused_at)
    return answer


def write_kind(kind: Kind) -> kind_pb2.JobKind:
    """Writes a kind with the values in force."""
    answer = kind_pb2.JobKind(
        name=kind.name,
        queue=kind.queue,
        max_retries=kind.max_retries,
        version=kind.version,
        priority=kind.priority,
    )
    answer.timeout.FromTimedelta(kind.timeout)
    return answer


def _write_error(error: AttemptError) -> job_pb2.AttemptError:
    answer = job_pb2.AttemptError(
        attempt=error.attempt,
        lease=error.lease,
        type=error.type,
        message=error.message,
        traceback=error.traceback,
    )
    _write_time(answer.at, error.at)
    return answer


def _write_time(field: timestamp_pb2.Timestamp, time: datetime | None) -> None:
    if time is not None:
        field.FromDatetime(time)


def _trace_id(traceparent: str | None) -> str:
    parts = (traceparent or "").split("-")
    return parts[1] if len(parts) > 1 else ""
