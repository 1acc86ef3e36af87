"""A SERVER span around each HTTP request except probes, by OpenTelemetry's HTTP conventions.

The listener is public, so a request's trace context is linked, not continued. The query is left out, because it
contains the token of a link in an email.
"""

from __future__ import annotations

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Link, SpanKind, Status, StatusCode
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PROBES = frozenset({"/livez", "/readyz"})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})

_tracer = trace.get_tracer("api_service.web")


class HttpTracing:
    """Wraps an ASGI application."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Called by the HTTP server for each request."""
        if scope["type"] != "http" or scope["path"] in _PROBES:
            await self._app(scope, receive, send)
            return
        method = scope["method"] if scope["method"] in _METHODS else "_OTHER"
        outside = trace.get_current_span(propagate.extract(Headers(scope=scope))).get_span_context()
        with _tracer.start_as_current_span(
            method,
            context=context.Context(),
            kind=SpanKind.SERVER,
            links=[Link(outside)] if outside.is_valid else [],
            attributes={"http.request.method": method, "url.path": scope["path"], "url.scheme": scope["scheme"]},
        ) as span:

            async def noting_status(message: Message) -> None:
                if message["type"] == "http.response.start":
                    status = message["status"]
                    span.set_attribute("http.response.status_code", status)
                    if status >= 500:
                        span.set_attribute("error.type", str(status))
                        span.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self._app(scope, receive, noting_status)
            if "endpoint" in scope:  # set if a route was found; the routes have no parameters, so the path names it
                span.update_name(f"{method} {scope['path']}")
                span.set_attribute("http.route", scope["path"])
