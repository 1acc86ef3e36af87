"""The spans of sending a row, by OpenTelemetry's messaging conventions.

`create <queue>` (PRODUCER) starts where the row is written, inside the caller's request. Its context is the creation
context: it is stored in the row, sent along with the job, and the parent of everything after it. `send <queue>`
(CLIENT) covers one row from its lease to its result.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# The limits of the contract's TraceContext, in characters. A longer tracestate or baggage is left out, so that it can't
# make the service reject a batch.
_LONGEST = {"traceparent": 55, "tracestate": 512, "baggage": 2048}

# The fields of TraceContext are W3C headers, whatever OTEL_PROPAGATORS sets for this process's own calls.
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_tracer = trace.get_tracer("headrace.outbox")


@contextmanager
def create_span(*, kind: str, queue: str, key: str) -> Iterator[dict[str, str]]:
    """Opens a `create` span under the current one, and yields its context as headers to store in the row."""
    attributes = _attributes("create", kind=kind, queue=queue, key=key)
    with _tracer.start_as_current_span(f"create {queue}", kind=SpanKind.PRODUCER, attributes=attributes):
        carrier: dict[str, str] = {}
        _W3C.inject(carrier)
        yield {name: value for name, value in carrier.items() if len(value) <= _LONGEST.get(name, 0)}


def start_send_span(kind: str, queue: str, key: str, headers: dict[str, str]) -> Span:
    """Starts a `send` span as a child of the creation context in `headers`."""
    return _tracer.start_span(
        f"send {queue}",
        context=_W3C.extract(headers),
        kind=SpanKind.CLIENT,
        attributes=_attributes("send", kind=kind, queue=queue, key=key),
    )


def end_accepted(span: Span, job_id: str) -> None:
    """Ends a `send` span whose row became a job."""
    span.set_attribute("messaging.message.id", job_id)
    span.end()


def end_refused(span: Span, error_type: str, error: str) -> None:
    """Ends a `send` span whose row was not accepted."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, error))
    span.end()


def _attributes(operation: str, *, kind: str, queue: str, key: str) -> dict[str, str]:
    return {
        "messaging.system": "headrace",
        "messaging.operation.name": operation,
        "messaging.operation.type": operation,
        "messaging.destination.name": queue,
        "headrace.job.kind": kind,
        "headrace.idempotency_key": key,
    }
