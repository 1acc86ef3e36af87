"""A gRPC channel with the defaults of all Headrace clients.

It spreads calls over all addresses of its target, detects dead connections, retries calls that got UNAVAILABLE or a
stopping server's CANCELLED before any response, gives each call a deadline, sends the token, and records a CLIENT span.
"""

import enum
import json
from typing import Any

import grpc
import grpc.aio
from opentelemetry import trace
from opentelemetry.propagate import inject
from opentelemetry.trace import SpanKind

from headrace.chassis.rpc.renewing_channel import RenewingChannel
from headrace.chassis.rpc.tracing import record_code
from headrace.chassis.tls.certificates import ClientTls

DEFAULT_TIMEOUT = 30.0

_SERVICE_CONFIG = json.dumps(
    {
        "loadBalancingConfig": [{"round_robin": {}}],
        "methodConfig": [
            {
                "name": [{}],
                "retryPolicy": {
                    "maxAttempts": 4,
                    "initialBackoff": "0.1s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    # A server that is stopping returns CANCELLED for calls it has received but not started.
                    "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
                },
            }
        ],
    }
)


class CarriedContext(enum.Enum):
    """Which span the server will see as its parent."""

    CALL = "call"
    """The call's own CLIENT span, as in the conventions."""
    CALLER = "caller"
    """The span around the call; the CLIENT span is a sibling of the server's. For callers that may be killed during the
    call: their CLIENT span is then never exported, and the server's span would have lost its parent."""


def open_channel(
    target: str,
    *,
    token: str | None = None,
    tls: ClientTls | None = None,
    carried: CarriedContext = CarriedContext.CALL,
    timeout: float = DEFAULT_TIMEOUT,
    max_receive_bytes: int = 4 * 1024 * 1024,
) -> grpc.aio.Channel:
    """Opens a channel. It connects when it is first used, and reconnects when needed.

    Args:
        target: "host:port", or "dns:///host:port" for every address behind a name.
        token: Sent as "authorization: Bearer <token>".
        tls: Certificates, reloaded when their files change; None for plain text.
        carried: Which span the server sees as its parent.
        timeout: Seconds that a call may take, including retries, unless the call sets another timeout.
        max_receive_bytes: The largest response.

    Calls are retried on UNAVAILABLE and on a server's CANCELLED, so each must be safe to retry: send an idempotency key
    with Enqueue.

    Raises:
        CertificatesError: The files of `tls` can't be used.
    """
    options: list[tuple[str, Any]] = [
        ("grpc.service_config", _SERVICE_CONFIG),
        ("grpc.enable_retries", 1),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.max_receive_message_length", max_receive_bytes),
        # Reconnects to a restarted server within a second or two, instead of the default's two minutes.
        ("grpc.initial_reconnect_backoff_ms", 200),
        ("grpc.max_reconnect_backoff_ms", 2_000),
    ]
    interceptors = [ClientInterceptor(target, token, carried, timeout)]
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options, interceptors=interceptors)
    return RenewingChannel(
        tls,
        lambda credentials: grpc.aio.secure_channel(target, credentials, options=options, interceptors=interceptors),
    )


class ClientInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds deadline, token and trace context to each call, and records its CLIENT span."""

    def __init__(self, target: str, token: str | None, carried: CarriedContext, timeout: float) -> None:
        self._server = _server_attributes(target)
        self._token = token
        self._carried = carried
        self._timeout = timeout
        self._tracer = trace.get_tracer("headrace.chassis")

    async def intercept_unary_unary(
        self, continuation: Any, client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Called by gRPC for each call."""
        method: Any = client_call_details.method
        name = (method.decode() if isinstance(method, bytes) else method).removeprefix("/")
        span = self._tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={"rpc.system.name": "grpc", "rpc.method": name, **self._server},
        )
        code = grpc.StatusCode.CANCELLED
        try:
            call = await continuation(self._details(client_call_details, span), request)
            code = await call.code()
            return call
        finally:
            record_code(span, code, failed=code is not grpc.StatusCode.OK)
            span.end()

    def _details(self, details: grpc.aio.ClientCallDetails, span: trace.Span) -> grpc.aio.ClientCallDetails:
        sent: Any = details.metadata or ()
        metadata = grpc.aio.Metadata(*sent)
        if self._token is not None:
            metadata["authorization"] = f"Bearer {self._token}"
        carrier: dict[str, str] = {}
        inject(carrier, trace.set_span_in_context(span) if self._carried is CarriedContext.CALL else None)
        named = {key for key, _ in sent}  # a context that the caller sets takes precedence
        for key in carrier.keys() - named:
            metadata[key] = carrier[key]
        return grpc.aio.ClientCallDetails(
            method=details.method,
            timeout=self._timeout if details.timeout is None else details.timeout,
            metadata=metadata,
            credentials=details.credentials,
            wait_for_ready=details.wait_for_ready,
        )


def _server_attributes(target: str) -> dict[str, str | int]:
    host, _, port = target.rpartition("/")[2].rpartition(":")
    if not port.isdigit():
        return {"server.address": target}
    return {"server.address": host, "server.port": int(port)}
