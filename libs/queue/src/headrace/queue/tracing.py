"""The engine's spans: the wait, each attempt, and the attempt that a dead worker could not write down.

Names, kinds and attributes follow OpenTelemetry's messaging conventions (v1.44). All spans of a job are children of
its creation context, which is stored with it; each `process` span is linked to it as well. The id of a `process` span
is derived from the job and its lease, so that a rescuer can write the span of an attempt that a killed worker began:
what that attempt has called hangs under it then as it would have otherwise.
"""

from __future__ import annotations

import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from opentelemetry import baggage, context, trace
from opentelemetry.baggage.propagation import W3CBaggagePropagator
from opentelemetry.context import Context
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.trace import INVALID_SPAN, Link, Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from headrace.queue.job import TraceParent

SYSTEM = "headrace"
# 55 characters in today's version; the W3C allows later ones to be longer, and asks to keep that much of the others.
MAX_TRACEPARENT, MAX_TRACESTATE, MAX_BAGGAGE = 100, 512, 8192
# What is stored with a job are W3C headers, whatever OTEL_PROPAGATORS says of this process' own calls.
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_tracer = trace.get_tracer("headrace.queue")
_NO_SDK = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
_next_span_id: ContextVar[int] = ContextVar("headrace_next_span_id", default=0)


@dataclass(frozen=True)
class Attempt:
    """What the spans of one attempt say."""

    job_id: int
    lease: int
    kind: str
    queue: str
    attempt: int
    trace: TraceParent | None


def current() -> TraceParent:
    """The current span's context, as it is stored with a job; empty outside of any span."""
    if not trace.get_current_span().get_span_context().is_valid and not baggage.get_all():
        return TraceParent("")
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return TraceParent(headers.get("traceparent", ""), headers.get("tracestate", ""), headers.get("baggage", ""))


def sound(context: TraceParent) -> TraceParent:
    """A context that came from outside, without what is no header value: a bad one must not cost its job."""

    def value(text: str, most: int) -> str:
        return text if text.isascii() and text.isprintable() and len(text) <= most else ""

    return TraceParent(
        value(context.traceparent, MAX_TRACEPARENT),
        value(context.tracestate, MAX_TRACESTATE),
        value(context.baggage, MAX_BAGGAGE),
    )


def records() -> bool:
    """Whether spans may be recorded: not as long as the API's stand-in for a tracer has no SDK behind it."""
    return not (isinstance(_tracer, trace.ProxyTracer) and isinstance(trace.get_tracer_provider(), _NO_SDK))


def created(kind: str, queue: str) -> TraceParent:
    """Begins the trace of a job that nobody outside asked for; answers its creation context."""
    attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": queue,
        "headrace.job.kind": kind,
    }
    span = _tracer.start_span(f"create {queue}", context.Context(), kind=SpanKind.PRODUCER, attributes=attributes)
    with trace.use_span(span, end_on_exit=True):
        return current()


def attempt_span(attempt: Attempt, waited_ms: float, *, records: bool) -> AbstractContextManager[Span]:
    """The span of an attempt, current within the block with the job's baggage, after one for the wait that ends now.

    The caller sets its status, and doesn't ask where there is neither anything to record nor a trace to pass on.
    """
    return _attempt_span(attempt, waited_ms) if records else _passed_on(attempt)


def failed(span: Span, error_type: str) -> None:
    """Marks an attempt as failed. The message stays in the job's errors: it may hold what no trace should."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, error_type))


def lost_span(attempt: Attempt, ran_ms: float, worker: str) -> None:
    """Writes the span of an attempt whose worker died, from its claim to its rescue."""
    if attempt.trace is None:
        return
    end = time.time_ns()
    span = _process(attempt, _creation(attempt), end - max(0, int(ran_ms * 1e6)))
    span.set_attribute("messaging.client.id", worker)
    failed(span, "worker_lost")
    span.end(end)


class AttemptSpanIds:
    """An OpenTelemetry id generator: random ids, but for the `process` spans of jobs.

    To be given to the SDK's TracerProvider by a program that runs a worker. Not the SDK's class by inheritance, since
    the engine needs the API only.
    """

    def generate_span_id(self) -> int:
        """A 64-bit id, never 0."""
        return _next_span_id.get() or random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """A 128-bit id, never 0."""
        return random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """Whether trace ids are random, for the W3C random flag."""
        return True


@contextmanager
def _attempt_span(attempt: Attempt, waited_ms: float) -> Iterator[Span]:
    creation = _creation(attempt)
    if attempt.trace is not None:
        _wait(attempt, creation, waited_ms)
    span = _process(attempt, creation, None)
    span.set_attribute("headrace.job.wait_ms", waited_ms)
    token = context.attach(creation)
    try:
        with trace.use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False):
            yield span
    finally:
        context.detach(token)


@contextmanager
def _passed_on(attempt: Attempt) -> Iterator[Span]:
    """Nothing is recorded here; what the handler calls or enqueues belongs to the job's trace all the same."""
    token = context.attach(_creation(attempt))
    try:
        yield INVALID_SPAN
    finally:
        context.detach(token)


def _wait(attempt: Attempt, creation: Context, waited_ms: float) -> None:
    """Writes the wait: as long as the database measured it, so that clocks that differ don't matter."""
    end = time.time_ns()
    span = _tracer.start_span(
        f"wait {attempt.queue}",
        creation,
        kind=SpanKind.INTERNAL,
        attributes=_attributes(attempt, "wait"),
        start_time=end - max(0, int(waited_ms * 1e6)),
    )
    span.end(end)


def _process(attempt: Attempt, parent: Context, start_time: int | None) -> Span:
    creation = trace.get_current_span(parent).get_span_context()
    token = _next_span_id.set(_span_id(attempt) if creation.is_valid else 0)
    try:
        return _tracer.start_span(
            f"process {attempt.queue}",
            parent,
            kind=SpanKind.CONSUMER,
            attributes=_attributes(attempt, "process"),
            links=[Link(creation)] if creation.is_valid else None,
            start_time=start_time,
        )
    finally:
        _next_span_id.reset(token)


def _creation(attempt: Attempt) -> Context:
    # From an empty context: an attempt never belongs to whatever span is around the worker's own loop.
    if attempt.trace is None:
        return context.Context()
    headers = {
        "traceparent": attempt.trace.traceparent,
        "tracestate": attempt.trace.tracestate,
        "baggage": attempt.trace.baggage,
    }
    return _W3C.extract({name: value for name, value in headers.items() if value}, context.Context())


def _span_id(attempt: Attempt) -> int:
    assert attempt.trace is not None
    seed = f"{attempt.trace.traceparent}/{attempt.job_id}/{attempt.lease}".encode()
    return int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest()) or 1


def _attributes(attempt: Attempt, operation: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": operation,
        "messaging.destination.name": attempt.queue,
        "messaging.message.id": str(attempt.job_id),
        "headrace.job.kind": attempt.kind,
        "headrace.job.attempt": attempt.attempt,
        "headrace.job.lease": attempt.lease,
    }
    if operation == "process":
        attributes["messaging.operation.type"] = "process"
    return attributes
