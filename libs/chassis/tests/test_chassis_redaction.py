"""What a request redacts leaves the process in no log line and no span, whatever its servicer does with it."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from saas.auth.v1.auth_service_pb2 import RegisterRequest
from saas.auth.v1.auth_service_pb2_grpc import AuthServiceStub

EMAIL, PASSWORD = "canary-4711@example.com", 'canary\'s "pass" wörd'
PROGRAM = """
import asyncio, logging
import grpc
import structlog
from opentelemetry import trace
from headrace.chassis.rpc.server import GrpcServer
from headrace.chassis.http.server import HttpServer
from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry
from headrace.redaction import redact
from saas.auth.v1 import auth_service_pb2_grpc

log, tracer = structlog.get_logger(), trace.get_tracer("test")

class Careless(auth_service_pb2_grpc.AuthServiceServicer):
    async def Register(self, request, context):
        log.info("registers", user_id="7", request=request, email=request.email, fields=[{"to": request.email}, 5])
        logging.getLogger("library").warning("password is %r", request.password, extra={"mail": request.email.upper()})
        with tracer.start_as_current_span(f"mail {request.email}", attributes={"to": request.email, "n": 1}) as span:
            span.add_event("posted", {"to": [request.email]})
            raise ValueError(f"no room for {request!r}")

async def app(scope, receive, send):
    token = scope["query_string"].decode().partition("=")[2]
    redact(token)
    log.warning("page", token=token)
    raise RuntimeError(f"no such token: {token}")

async def main(stop):
    server = GrpcServer(address="127.0.0.1:0")
    careless = Careless()
    server.add(auth_service_pb2_grpc.add_AuthServiceServicer_to_server, careless, "saas.auth.v1.AuthService")
    await server.start()
    http = HttpServer(app, "127.0.0.1:0")
    await http.start()
    await stop.wait()
    await http.stop(1)
    await server.stop(1)

start_logging()
telemetry = start_telemetry("careless")
run_until_signal(main)
telemetry.shutdown()
"""


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802
        self.spans += [s for resource in request.resource_spans for scope in resource.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its URL."""
    kept = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(0)


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_a_careless_servicer_tells_nobody_what_its_request_redacts(
    collector: tuple[Collector, str], log_format: str
) -> None:
    kept, url = collector
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": url, "LOG_FORMAT": log_format}
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as program:
        assert program.stdout is not None
        try:
            with grpc.insecure_channel(_address(program.stdout.readline())) as channel, pytest.raises(grpc.RpcError):
                AuthServiceStub(channel).Register(RegisterRequest(email=EMAIL, password=PASSWORD), timeout=20)
            _get(_address(program.stdout.readline()), "/verify?token=canary-token-000000001")
        finally:
            program.terminate()
        said = program.stdout.read()
    spans = str(kept.spans)
    for text in (said, spans):
        assert "[redacted]" in text
        assert "canary" not in text.lower()
        assert "pass\\" not in text.lower()
    assert {span.name for span in kept.spans} == {"saas.auth.v1.AuthService/Register", "mail [redacted]"}
    if log_format == "json":
        lines = {line["event"]: line for line in map(json.loads, said.splitlines())}
        assert (lines["registers"]["user_id"], lines["registers"]["fields"]) == ("7", [{"to": "[redacted]"}, 5])
        assert lines["password is '[redacted]'"]["mail"] == "[redacted]"
        assert "ValueError: no room for" in lines["call failed"]["exception"]
        assert lines["page"]["token"] == "[redacted]"


def _address(line: str) -> str:
    """The address in a line about a listener, of either format."""
    found = line.replace("address=", '"address": "').replace(" name=", '" name=')
    return found.split('"address": "')[1].split('"')[0].split()[0].strip()


def _get(address: str, path: str) -> None:
    connection = http.client.HTTPConnection(address, timeout=20)
    connection.request("GET", path)
    assert connection.getresponse().status == 500
    connection.close()
