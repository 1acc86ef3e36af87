"""Traces in a process that exports no spans: it creates and propagates contexts as usual, and records nothing.

So a job that is enqueued here still has a trace that other processes continue, at a tenth of the cost of a recorded
span.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, TraceFlags

_ids = RandomIdGenerator()
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class ContextOnlyTracerProvider(trace.TracerProvider):
    """Returns tracers whose spans are only contexts."""

    def get_tracer(self, *_args: Any, **_options: Any) -> trace.Tracer:
        """Returns the same tracer for every name."""
        return _TRACER

    def shutdown(self) -> None:
        """There is nothing to send."""


def records() -> bool:
    """Whether this process records spans; if not, it can skip spans without children."""
    return not isinstance(trace.get_tracer_provider(), ContextOnlyTracerProvider)


class _CarryingTracer(trace.Tracer):
    def start_span(self, name: str, context: Context | None = None, *_args: Any, **_options: Any) -> Span:  # noqa: ARG002
        """Creates a context: a child of the current one, with its sampling decision, or else a new, sampled trace."""
        parent = trace.get_current_span(context).get_span_context()
        if not parent.is_valid:
            return NonRecordingSpan(SpanContext(_ids.generate_trace_id(), _ids.generate_span_id(), False, _SAMPLED))
        return NonRecordingSpan(
            SpanContext(parent.trace_id, _ids.generate_span_id(), False, parent.trace_flags, parent.trace_state)
        )

    @contextmanager
    def start_as_current_span(  # type: ignore[override]  # to be used by `with`, not as a decorator
        self, name: str, context: Context | None = None, *_args: Any, **_options: Any
    ) -> Iterator[Span]:
        """Creates a span and makes it current."""
        with trace.use_span(self.start_span(name, context)) as span:
            yield span


_TRACER = _CarryingTracer()
