"""The engine's spans: a job's wait, each attempt, and an attempt whose worker died before it could write its span.

Names, kinds and attributes follow OpenTelemetry's messaging conventions (v1.44). All spans of a job are children of
its creation context, which is stored with it; each `process` span is also linked to it. The id of a `process` span
is derived from the job and its lease. So a rescuer can write the span of an attempt that a killed worker began, and
the calls that this attempt has made are its children, as if the worker had lived.
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
# A traceparent has 55 characters in version 00; the W3C allows more in later ones. The W3C asks to propagate at least
# this much of the other two.
MAX_TRACEPARENT, MAX_TRACESTATE, MAX_BAGGAGE = 100, 512, 8192
# The engine stores and passes on W3C headers, whatever OTEL_PROPAGATORS sets for this process's other calls.
_W3C = CompositePropagator([TraceContextTextMapPropagator(), W3CBaggagePropagator()])
_tracer = trace.get_tracer("headrace.queue")
_NO_SDK = (trace.ProxyTracerProvider, trace.NoOpTracerProvider)
_next_span_id: ContextVar[int] = ContextVar("headrace_next_span_id", default=0)


@dataclass(frozen=True)
class Attempt:
    """What the spans of one attempt report."""

    job_id: int
    lease: int
    kind: str
    queue: str
    attempt: int
    trace: TraceParent | None


def current() -> TraceParent:
    """Returns the current span's context and baggage, as stored with a job; empty if there is neither."""
    if not trace.get_current_span().get_span_context().is_valid and not baggage.get_all():
        return TraceParent("")
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return TraceParent(headers.get("traceparent", ""), headers.get("tracestate", ""), headers.get("baggage", ""))


def context_of(trace: TraceParent | None) -> Context:
    """Returns the context that headers describe. It inherits nothing from the current one."""
    if trace is None:
        return Context()
    headers = {"traceparent": trace.traceparent, "tracestate": trace.tracestate, "baggage": trace.baggage}
    return _W3C.extract({name: value for name, value in headers.items() if value}, Context())


def sound(context: TraceParent) -> TraceParent:
    """Returns a caller's context without the headers that are not valid: they must not make its job fail."""

    def value(text: str, most: int) -> str:
        return text if text.isascii() and text.isprintable() and len(text) <= most else ""

    return TraceParent(
        value(context.traceparent, MAX_TRACEPARENT),
        value(context.tracestate, MAX_TRACESTATE),
        value(context.baggage, MAX_BAGGAGE),
    )


def records() -> bool:
    """Returns whether spans may be recorded: not without an SDK behind the API's proxy for a tracer."""
    return not (isinstance(_tracer, trace.ProxyTracer) and isinstance(trace.get_tracer_provider(), _NO_SDK))


def created(kind: str, queue: str) -> TraceParent:
    """Starts the trace of a job that the engine itself enqueues. Returns its creation context."""
    attributes = {
        "messaging.system": SYSTEM,
        "messaging.operation.name": "create",
        "messaging.operation.type": "create",
        "messaging.destination.name": queue,
        "headrace.job.kind": kind,
    }
    span = _tracer.start_span(f"create {queue}", Context(), kind=SpanKind.PRODUCER, attributes=attributes)
    with trace.use_span(span, end_on_exit=True):
        return current()


def attempt_span(attempt: Attempt, waited_ms: float, *, records: bool) -> AbstractContextManager[Span]:
    """Returns the span of an attempt; in its block, the span and the job's baggage are current.

    Before it, a span is written for the wait that ends now. The caller sets the status. If there is neither anything to
    record nor a trace to pass on, don't call it.
    """
    return _attempt_span(attempt, waited_ms) if records else _passed_on(attempt)


def failed(span: Span, error_type: str) -> None:
    """Marks an attempt as failed. The message is kept in the job's errors only: it may contain secrets."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR, error_type))


def lost_span(attempt: Attempt, ran_ms: float, worker: str) -> None:
    """Writes the span of an attempt whose worker died, from its claim to its rescue."""
    if attempt.trace is None:
        return
    end = time.time_ns()
    span = _process(attempt, context_of(attempt.trace), end - max(0, int(ran_ms * 1e6)))
    span.set_attribute("messaging.client.id", worker)
    failed(span, "worker_lost")
    span.end(end)


class AttemptSpanIds:
    """An OpenTelemetry id generator: random ids, except for the `process` spans of jobs.

    A program that runs a worker passes it to the SDK's TracerProvider. It doesn't inherit from the SDK's class, because
    the engine depends on the API only.
    """

    def generate_span_id(self) -> int:
        """Returns a 64-bit id, never 0."""
        return _next_span_id.get() or random.getrandbits(64) or 1

    def generate_trace_id(self) -> int:
        """Returns a 128-bit id, never 0."""
        return random.getrandbits(128) or 1

    def is_trace_id_random(self) -> bool:
        """Returns whether trace ids are random, for the W3C random flag."""
        return True


@contextmanager
def _attempt_span(attempt: Attempt, waited_ms: float) -> Iterator[Span]:
    creation = context_of(attempt.trace)
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
    """Records nothing, but puts what the handler calls or enqueues into the job's trace."""
    token = context.attach(context_of(attempt.trace))
    try:
        yield INVALID_SPAN
    finally:
        context.detach(token)


def _wait(attempt: Attempt, creation: Context, waited_ms: float) -> None:
    """Writes the span of the wait. Its length is what the database measured, whatever the local clock says."""
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
