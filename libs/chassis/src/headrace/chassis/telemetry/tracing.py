"""Traces: OpenTelemetry's SDK, configured only by the standard OTEL_* variables.

Spans are exported only if an OTLP endpoint is set (OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT).
Contexts are created and propagated in any case.
"""

import os
import socket
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator

from headrace.chassis.settings import USAGE_ERROR
from headrace.chassis.telemetry.context_only_tracing import ContextOnlyTracerProvider
from headrace.chassis.telemetry.redaction import VeilingProcessor

_EXPORTERS: dict[str, type[GrpcSpanExporter] | type[HttpSpanExporter]] = {
    "grpc": GrpcSpanExporter,
    "http/protobuf": HttpSpanExporter,
}


class Telemetry:
    """The running tracing; shut it down last."""

    def __init__(self, provider: TracerProvider | ContextOnlyTracerProvider) -> None:
        self._provider = provider

    def shutdown(self) -> None:
        """Sends the remaining spans. Blocks up to the exporter's timeout."""
        self._provider.shutdown()


def start_telemetry(service: str, id_generator: IdGenerator | None = None) -> Telemetry:
    """Sets up tracing for the process; once, at start. Exits if the protocol is unknown.

    Args:
        service: The service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES sets another.
        id_generator: The source of span ids; by default the SDK's.
    """
    exporter = _exporter()
    if exporter is None and id_generator is None and not _is_disabled():
        carrying = ContextOnlyTracerProvider()
        trace.set_tracer_provider(carrying)
        return Telemetry(carrying)
    provider = TracerProvider(
        resource=_resource(service),
        id_generator=id_generator,
        shutdown_on_exit=False,
    )
    if exporter is not None:
        provider.add_span_processor(VeilingProcessor(BatchSpanProcessor(exporter)))
    trace.set_tracer_provider(provider)
    return Telemetry(provider)


def _resource(service: str) -> Resource:
    ours = Resource({"service.name": service, "service.instance.id": f"{socket.gethostname()}:{os.getpid()}"})
    return Resource.create().merge(ours).merge(OTELResourceDetector().detect())


def _exporter() -> SpanExporter | None:
    if _is_disabled() or not _first("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"):
        return None
    protocol = _first("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL") or "grpc"
    if protocol not in _EXPORTERS:
        print(
            f'OTEL_EXPORTER_OTLP_PROTOCOL: expected "grpc" or "http/protobuf"; got {protocol!r}',
            file=sys.stderr,
        )
        raise SystemExit(USAGE_ERROR)
    return _EXPORTERS[protocol]()


def _is_disabled() -> bool:
    if (os.environ.get("OTEL_SDK_DISABLED") or "").strip().lower() == "true":
        return True
    return (os.environ.get("OTEL_TRACES_EXPORTER") or "otlp").strip().lower() == "none"


def _first(*names: str) -> str:
    return next((value for name in names if (value := (os.environ.get(name) or "").strip())), "")
