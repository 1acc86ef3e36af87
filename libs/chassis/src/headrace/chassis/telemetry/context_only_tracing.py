"""Traces of a process that exports nothing: contexts are made and carried on as ever, and nothing is recorded.

So a job that comes in here still has a trace that other processes continue, at a tenth of what a recorded span costs.
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
    """Returns tracers whose spans are contexts only."""

    def get_tracer(self, *_args: Any, **_options: Any) -> trace.Tracer:
        """Returns the same tracer, whoever asks."""
        return _TRACER

    def shutdown(self) -> None:
        """Nothing is to be sent."""


def records() -> bool:
    """Whether this process records spans: to leave out the making of those that nothing hangs under."""
    return not isinstance(trace.get_tracer_provider(), ContextOnlyTracerProvider)


class _CarryingTracer(trace.Tracer):
    def start_span(self, name: str, context: Context | None = None, *_args: Any, **_options: Any) -> Span:  # noqa: ARG002
        """Makes a context: a child of the one that is there, as sampled as that; else a new trace's, sampled."""
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
        """Makes one, and makes it current."""
        with trace.use_span(self.start_span(name, context)) as span:
            yield span


_TRACER = _CarryingTracer()
