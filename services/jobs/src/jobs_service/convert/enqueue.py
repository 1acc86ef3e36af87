"""Jobs to be accepted, as they are asked for."""

from datetime import timedelta

from google.protobuf import any_pb2
from google.protobuf.message import DecodeError
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace.chassis.rpc.validation import request_violations
from headrace.jobs.v1 import jobs_service_pb2
from headrace.queue import Enqueued, Kinds, KindUnknownError, NewJob, TraceParent, Unique, job_option_violations
from jobs_service.convert.errors import option_path, payload_path
from jobs_service.convert.jobs import STATES, read_state
from jobs_service.convert.values import Violations, noting, read_duration, read_struct, read_time, refuse

# The fields of TraceContext are W3C headers, whatever OTEL_PROPAGATORS says of this process' own calls.
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])

_DUPLICATE_BY = {
    None: jobs_service_pb2.DUPLICATE_BY_UNSPECIFIED,
    "key": jobs_service_pb2.DUPLICATE_BY_KEY,
    "unique": jobs_service_pb2.DUPLICATE_BY_UNIQUE,
}
# The states that there are; the rules of the .proto file tell of others.
_STATES = frozenset(STATES.values())


def read_enqueue(
    request: jobs_service_pb2.EnqueueRequest,
    *,
    caller: str,
    kinds: Kinds,
    violations: Violations,
    origin: TraceParent | None = None,
) -> NewJob:
    """Reads a job to accept.

    Args:
        request: What was sent.
        caller: Whose job it is.
        kinds: The kinds that are known.
        violations: What is against the rules of the .proto file.
        origin: What caused it where the request says nothing of that.

    Raises:
        RpcError: INVALID_ARGUMENT, with every bad field, those of a readable payload included.
    """
    violations = list(violations)
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
    if violations:
        named = dict(violations)
        raise refuse(violations + [found for found in _engine_violations(job, kinds) if found[0] not in named])
    return job


def _read_unique(sent: jobs_service_pb2.Unique, period: timedelta | None) -> Unique:
    return Unique(
        by=tuple(sent.fields) or "all",
        period=period,
        queue=sent.by_queue,
        states=frozenset(read_state(state) for state in sent.states if state in _STATES) or None,
    )


def _engine_violations(job: NewJob, kinds: Kinds) -> Violations:
    """What the engine would find at its door: told together with what the rules of the .proto file have found."""
    payload: any_pb2.Any = job.payload
    try:
        kind = kinds[payload.TypeName()]
        message = kind.message_class.FromString(payload.value)
    except (KindUnknownError, DecodeError):
        return []
    return [
        *((payload_path(field), description) for field, description in request_violations(message)),
        *((option_path(found.field), found.description) for found in job_option_violations(job, kind)),
    ]


def write_accepted(answer: jobs_service_pb2.EnqueueResponse, accepted: Enqueued) -> None:
    """Writes what became of an enqueue that was not refused."""
    answer.job_id = str(accepted.job_id)
    if accepted.duplicate:
        answer.duplicate = True
        answer.duplicate_by = _DUPLICATE_BY[accepted.reason]


def read_trace(sent: jobs_service_pb2.TraceContext) -> TraceParent | None:
    """Reads what caused a job. None, as the W3C has it, where there is no valid traceparent."""
    if not sent.traceparent:
        return None
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
