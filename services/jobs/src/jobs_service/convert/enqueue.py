"""Reads enqueue requests, and writes their results."""

from datetime import timedelta

from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace.jobs.v1 import jobs_service_pb2
from headrace.queue import Enqueued, NewJob, TraceParent, Unique
from jobs_service.convert.jobs import STATES, read_state
from jobs_service.convert.values import Violations, noting, read_duration, read_struct, read_time

# The fields of TraceContext are W3C headers, whatever OTEL_PROPAGATORS says of this process' own calls.
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])

_DUPLICATE_BY = {
    None: jobs_service_pb2.DUPLICATE_BY_UNSPECIFIED,
    "key": jobs_service_pb2.DUPLICATE_BY_KEY,
    "unique": jobs_service_pb2.DUPLICATE_BY_UNIQUE,
}
# The known states; the contract's rules reject others.
_STATES = frozenset(STATES.values())


def read_enqueue(
    request: jobs_service_pb2.EnqueueRequest, *, caller: str, origin: TraceParent | None = None
) -> tuple[NewJob, Violations]:
    """Reads the job of a request.

    Args:
        request: The request.
        caller: The caller's name.
        origin: What caused the job, if the request doesn't say.

    Returns:
        The job, and the fields whose values Python can't represent. The job lacks these.
    """
    violations: Violations = []
    run_at = timeout = period = metadata = None
    has = request.HasField
    if has("run_at"):
        with noting(violations, "run_at"):
            run_at = read_time(request.run_at)
    if has("timeout"):
        with noting(violations, "timeout"):
            timeout = read_duration(request.timeout)
    wanted = request.unique if has("unique") else None
    if wanted is not None and wanted.HasField("period"):
        with noting(violations, "unique.period"):
            period = read_duration(wanted.period)
    if has("metadata"):
        try:
            metadata = read_struct(request.metadata)
        except ValueError as error:
            violations.append(("metadata", f"must be a JSON object: {error}"))
    job = NewJob(
        payload=request.payload,
        caller=caller,
        key=request.idempotency_key,
        queue=request.queue or None,
        priority=request.priority if has("priority") else None,
        max_retries=request.max_retries if has("max_retries") else None,
        timeout=timeout,
        run_at=run_at,
        trace=(read_trace(request.trace_context) if has("trace_context") else None) or origin,
        unique=None if wanted is None else _read_unique(wanted, period),
        tags=tuple(request.tags),
        metadata=metadata,
        version=request.version or None,
    )
    return job, violations


def _read_unique(sent: jobs_service_pb2.Unique, period: timedelta | None) -> Unique:
    return Unique(
        by=tuple(sent.fields) or "all",
        period=period,
        queue=sent.by_queue,
        states=frozenset(read_state(state) for state in sent.states if state in _STATES) or None,
    )


def write_enqueued(response: jobs_service_pb2.EnqueueResponse, enqueued: Enqueued) -> None:
    """Writes the result of an enqueue."""
    response.job_id = str(enqueued.job_id)
    if enqueued.duplicate:
        response.duplicate = True
        response.duplicate_by = _DUPLICATE_BY[enqueued.reason]


def read_trace(sent: jobs_service_pb2.TraceContext) -> TraceParent | None:
    """Reads the trace context of what caused a job. None without a valid traceparent, as the W3C defines it."""
    if not sent.traceparent:
        return None
    headers = {"traceparent": sent.traceparent, "tracestate": sent.tracestate, "baggage": sent.baggage}
    clean: dict[str, str] = {}
    _W3C.inject(clean, _W3C.extract({name: value for name, value in headers.items() if value}, Context()))
    if "traceparent" not in clean:
        return None
    return TraceParent(clean["traceparent"], clean.get("tracestate", ""), clean.get("baggage", ""))


def trace_context(trace: TraceParent) -> Context:
    """Returns the OpenTelemetry context of a creation context."""
    return TraceContextTextMapPropagator().extract(
        {"traceparent": trace.traceparent, "tracestate": trace.tracestate}, Context()
    )
