"""The gRPC server of every Headrace service.

Built in, from the outside in: statuses, a SERVER span, error translation, the service's interceptors, decoding and
validation. It also serves health ("" and "readiness" for `set_serving`, "liveness" for the process alone) and
reflection, both without token and span. Requests are limited in size, idle connections are checked, and old ones are
closed so that clients find new replicas.
"""

from collections.abc import Callable, Collection, Sequence
from datetime import timedelta
from typing import Any, TypeVar

import grpc.aio
import structlog
from google.protobuf import descriptor_pool
from grpc_health.v1 import health, health_pb2

from headrace.chassis.rpc.error_boundary import ErrorMappingLayer, StatusLayer, Translations
from headrace.chassis.rpc.health_and_reflection import add_health, add_reflection
from headrace.chassis.rpc.interceptors import LayersInterceptor
from headrace.chassis.rpc.restarting_server import RestartingServer
from headrace.chassis.rpc.tracing import OutsideContext, TracingLayer
from headrace.chassis.rpc.validation import ValidationInterceptor
from headrace.chassis.settings import split_address
from headrace.chassis.tls.certificates import ServerTls

log = structlog.get_logger()

LIVENESS = "liveness"
READINESS = "readiness"
MAX_RECEIVE_BYTES = 4 * 1024 * 1024
MAX_CONNECTION_AGE = timedelta(minutes=5)

T = TypeVar("T")


class GrpcServer:
    """A server that isn't serving yet; `add` services, then `start`."""

    def __init__(
        self,
        *,
        address: str,
        name: str = "grpc",
        trust_callers: bool = True,
        reflection: bool = True,
        tls: ServerTls | None = None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
        translations: Translations | None = None,
        self_validating: Collection[str] = (),
        max_receive_bytes: int = MAX_RECEIVE_BYTES,
        max_connection_age: timedelta = MAX_CONNECTION_AGE,
    ) -> None:
        """Prepares a server.

        Args:
            address: "host:port"; port 0 means a free one.
            name: The listener's name in the log.
            trust_callers: Whether the trace context of a call becomes the parent of its span, or only a link.
            reflection: Whether clients may ask for the services and their messages.
            tls: Certificates, reloaded when their files change; None for plain text.
            interceptors: The service's own, for example for tokens; the first is outermost.
            translations: The errors for the service's exceptions, by class.
            self_validating: Methods ("pkg.Service/Method") whose servicer validates the request itself.
            max_receive_bytes: The largest request; above it gRPC returns RESOURCE_EXHAUSTED.
            max_connection_age: The maximum age of a connection, spread by ± 10 %. After that it accepts no new calls,
                those in progress get 30 s, and its client reconnects, perhaps to another replica.
        """
        self._address = address
        self._name = name
        self._tls = tls
        self._reflection = reflection
        self._services: list[str] = []
        self._servicers: list[Callable[[grpc.aio.Server], None]] = []
        self._health = health.aio.HealthServicer()
        self._interceptors = [
            LayersInterceptor(
                StatusLayer(),
                TracingLayer(OutsideContext.PARENT if trust_callers else OutsideContext.LINK),
                ErrorMappingLayer(translations or {}),
            ),
            *interceptors,
            ValidationInterceptor(self_validating),
        ]
        self._options = [
            ("grpc.so_reuseport", 0),  # so that a second server on the same port fails at start
            ("grpc.max_receive_message_length", max_receive_bytes),
            # Above these limits gRPC ends arbitrary calls with CANCELLED. With its defaults of 1,000 and 3,000, a
            # client that makes calls only to reset them would end the calls of all other clients.
            ("grpc.server.max_pending_requests", 10_000),
            ("grpc.server.max_pending_requests_hard_limit", 30_000),
            ("grpc.keepalive_time_ms", 30_000),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ("grpc.max_connection_age_ms", max_connection_age // timedelta(milliseconds=1)),
            ("grpc.max_connection_age_grace_ms", 30_000),
        ]
        self._server = RestartingServer(self._make)

    def add(self, add_to_server: Callable[[T, grpc.aio.Server], None], servicer: T, service: str) -> None:
        """Adds a service: the generated `add_XServicer_to_server`, the servicer, and the service's full name.

        Raises:
            KeyError: The service's generated code isn't imported.
            ValueError: It has a streaming method; the interceptors support only unary calls.
        """
        descriptor: Any = descriptor_pool.Default().FindServiceByName(service)
        streaming = [m.full_name for m in descriptor.methods if m.client_streaming or m.server_streaming]
        if streaming:
            raise ValueError(f"{', '.join(streaming)}: streaming methods would bypass tokens and validation")

        def adding(server: grpc.aio.Server) -> None:
            by_name: Any = _ByName(server)
            add_to_server(servicer, by_name)

        self._servicers.append(adding)
        self._services.append(service)

    async def start(self) -> int:
        """Starts listening and returns the port; not serving until `set_serving(True)`.

        Raises:
            RuntimeError: The server can't listen on the address.
            CertificatesError: The files of `tls` can't be used.
        """
        await self._health.set(LIVENESS, health_pb2.HealthCheckResponse.SERVING)
        await self.set_serving(False)
        port = await self._server.start()
        host, _ = split_address(self._address)
        log.info("listening", name=self._name, address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        return port

    async def set_serving(self, serving: bool) -> None:
        """Sets the health of "", "readiness" and each service's name: whether the server can handle calls now."""
        answer = health_pb2.HealthCheckResponse
        status = answer.SERVING if serving else answer.NOT_SERVING
        for service in ("", READINESS, *self._services):
            await self._health.set(service, status)

    async def stop(self, grace: float) -> None:
        """Accepts no new calls, lets those in progress finish within `grace` seconds, and stops."""
        await self.set_serving(False)
        await self._server.stop(grace)

    def _make(self, port: int) -> tuple[grpc.aio.Server, int]:
        server = grpc.aio.server(interceptors=self._interceptors, options=self._options)
        for adding in self._servicers:
            adding(server)
        add_health(self._health, server)
        if self._reflection:
            add_reflection(self._services, server)
        host, given = split_address(self._address)
        address = f"{f'[{host}]' if ':' in host else host}:{port or given}"
        if self._tls is None:
            return server, server.add_insecure_port(address)
        return server, server.add_secure_port(address, self._tls.credentials())


class _ByName:
    """Adds services whose methods are looked up by name for each call.

    Generated code also registers each method with gRPC, and grpc.aio then waits for calls of each of them separately.
    So the more methods there are, the more every call costs (with 35 methods, a third of an empty call).
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self.add_generic_rpc_handlers = server.add_generic_rpc_handlers

    def add_registered_method_handlers(self, service: str, handlers: Any) -> None:
        """Does nothing."""
