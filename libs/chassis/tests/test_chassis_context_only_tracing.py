"""A process that exports no spans still makes and carries trace contexts."""

import subprocess
import sys

import pytest
from opentelemetry import trace
from opentelemetry.propagate import extract, inject

from headrace.chassis.telemetry.context_only_tracing import ContextOnlyTracerProvider

SENT = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "tracestate": "vendor=17"}


@pytest.fixture
def tracer() -> trace.Tracer:
    return ContextOnlyTracerProvider().get_tracer("tests")


def test_a_first_span_begins_a_trace_that_others_record(tracer: trace.Tracer) -> None:
    with tracer.start_as_current_span("request") as span:
        context = span.get_span_context()
        carried: dict[str, str] = {}
        inject(carried)
    assert context.is_valid
    assert carried["traceparent"] == f"00-{context.trace_id:032x}-{context.span_id:016x}-01"
    assert not span.is_recording()


def test_what_came_in_is_carried_on_as_sampled_as_it_was(tracer: trace.Tracer) -> None:
    span = tracer.start_span("request", extract(SENT), attributes={"a": 1})
    span.set_attribute("b", 2)
    span.end()
    context = span.get_span_context()
    parts = SENT["traceparent"].split("-")
    assert f"{context.trace_id:032x}" == parts[1]
    assert f"{context.span_id:016x}" != parts[2]
    assert (context.trace_flags, context.trace_state.to_header()) == (0, "vendor=17")


@pytest.mark.parametrize(
    ("variables", "provider"),
    [
        ({}, "ContextOnlyTracerProvider"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, "TracerProvider"),
        ({"OTEL_SDK_DISABLED": "true"}, "TracerProvider"),
    ],
)
def test_spans_are_recorded_only_where_they_are_exported(variables: dict[str, str], provider: str) -> None:
    program = (
        "from opentelemetry import trace; from headrace.chassis.telemetry.tracing import start_telemetry;"
        "start_telemetry('mill'); print(type(trace.get_tracer_provider()).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == provider
