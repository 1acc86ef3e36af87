"""A SERVER span for every call, by OpenTelemetry's RPC conventions (v1.44, release candidate).

If callers are trusted, the client's context becomes the parent. On a public listener the span is a root that links to
it, so that external clients can't decide what is sampled or write into these traces.
"""

import asyncio
import enum
from typing import Any

import grpc
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context as OtelContext
from opentelemetry.propagate import extract
from opentelemetry.trace import Link, Span, SpanKind, StatusCode

from headrace.chassis.rpc.errors import SERVER_FAILURES, RpcError
from headrace.chassis.rpc.interceptors import Call, Context, Layer, Proceed
from headrace.chassis.telemetry.context_only_tracing import records
from headrace.redaction import begin_redaction


class OutsideContext(enum.Enum):
    """How a trace context that comes with a call is used."""

    PARENT = "parent"
    LINK = "link"


class TracingLayer(Layer):
    """Runs every call inside its SERVER span."""

    def __init__(self, outside: OutsideContext) -> None:
        self._outside = outside
        self._tracer = trace.get_tracer("headrace.chassis")

    async def around(self, call: Call, request: Any, context: Context, proceed: Proceed) -> Any:
        """Starts the span, makes it current, and ends it with the code that the client will see."""
        begin_redaction()  # before the span and any logging, so that the request's secrets are redacted in both
        parent, links = self._origin(call)
        span = self._tracer.start_span(
            call.service_and_method,
            parent,
            kind=SpanKind.SERVER,
            attributes=_attributes(call, context) if records() else None,
            links=links,
        )
        token = otel_context.attach(trace.set_span_in_context(span, parent))
        code = grpc.StatusCode.OK
        try:
            return await proceed(request, context)
        except RpcError as error:
            code = error.code
            raise
        except asyncio.CancelledError:
            code = cancellation_code(context)
            raise
        finally:
            record_code(span, code, failed=code in SERVER_FAILURES)
            span.end()
            otel_context.detach(token)

    def _origin(self, call: Call) -> tuple[OtelContext, list[Link]]:
        sent = extract(call.metadata)
        if self._outside is OutsideContext.PARENT:
            return sent, []
        remote = trace.get_current_span(sent).get_span_context()
        return OtelContext(), [Link(remote)] if remote.is_valid else []


def record_code(span: Span, code: grpc.StatusCode, *, failed: bool) -> None:
    """Records a call's outcome on its span."""
    span.set_attribute("rpc.response.status_code", code.name)
    if failed:
        span.set_attribute("error.type", code.name)
        span.set_status(StatusCode.ERROR)


def cancellation_code(context: Context) -> grpc.StatusCode:
    """Returns why gRPC cancelled a handler: the client's deadline has passed, or the client has disconnected."""
    remaining = context.time_remaining()
    if remaining is not None and remaining <= 0:
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.CANCELLED


def _attributes(call: Call, context: Context) -> dict[str, str | int]:
    return {"rpc.system.name": "grpc", "rpc.method": call.service_and_method, **_peer(context.peer())}


def _peer(peer: str) -> dict[str, str | int]:
    """Parses gRPC's name of the peer, such as "ipv4:10.1.2.3:41234"."""
    family, _, address = peer.partition(":")
    host, _, port = address.rpartition(":")
    if family not in {"ipv4", "ipv6"} or not port.isdigit():
        return {}
    return {"network.peer.address": host.removeprefix("[").removesuffix("]"), "network.peer.port": int(port)}
