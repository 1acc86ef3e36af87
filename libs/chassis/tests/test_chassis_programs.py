"""A program on the chassis, as a separate process: signals, logs, exported spans, HTTP."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from queue import Queue
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

PROGRAM = """
import asyncio, logging, sys, time
import structlog
from opentelemetry import trace
from headrace.chassis.http.server import HttpServer
from headrace.chassis.lifecycle import run_until_signal
from headrace.chassis.telemetry.logs import start_logging
from headrace.chassis.telemetry.tracing import start_telemetry

async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"alive"})

async def main(stop):
    server = HttpServer(app, "127.0.0.1:0")
    await server.start()
    with trace.get_tracer("test").start_as_current_span("grind"):
        structlog.get_logger().warning("grinding", grain="rye")
        logging.getLogger("library").warning("turned %s times", 3, extra={"wheel": "upper"})
    secret = "a pass" + "word"
    try:
        1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("it broke")
    if "brief" not in sys.argv:
        await stop.wait()
    await server.stop(5)
    if "stubborn" in sys.argv:
        time.sleep(600)
    structlog.get_logger().info("ended")

start_logging()
telemetry = start_telemetry("mill")
run_until_signal(main)
telemetry.shutdown()
"""


class Program:
    """A running program, read line by line."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def next(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line: dict[str, Any] = json.loads(self.process.stdout.readline())
        return line

    def line(self, event: str) -> dict[str, Any]:
        while (line := self.next())["event"] != event:
            continue
        return line


@contextmanager
def program(*arguments: str, **variables: str) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LOG_LEVEL": "info", **variables},
    )
    try:
        yield Program(process)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_program_in_order(number: signal.Signals) -> None:
    with program() as running:
        running.line("listening")
        running.process.send_signal(number)
        assert running.line("stopping")["signal"] == number.name
        running.line("ended")
        assert running.process.wait(10) == 0


def test_a_second_signal_ends_a_program_at_once() -> None:
    with program("stubborn") as running:
        running.line("listening")
        running.process.send_signal(signal.SIGTERM)
        running.line("stopping")
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(10) == 128 + signal.SIGTERM


def test_log_lines_are_json_with_the_trace_they_belong_to() -> None:
    with program() as running:
        ours, theirs, broken = running.line("grinding"), running.line("turned 3 times"), running.line("it broke")
    assert (ours["grain"], ours["level"]) == ("rye", "warning")
    assert (theirs["wheel"], theirs["level"]) == ("upper", "warning")
    assert len(ours["trace_id"]) == 32
    assert len(ours["span_id"]) == 16
    assert theirs["trace_id"] == ours["trace_id"]
    assert theirs["logger"] == "library"
    assert "ZeroDivisionError" in broken["exception"]


def test_the_http_server_adds_no_lines_of_its_own() -> None:
    with program() as running:
        events = [running.next()["event"]]
        while events[-1] != "it broke":
            events.append(running.next()["event"])
        running.process.send_signal(signal.SIGTERM)
        events += [running.next()["event"], running.next()["event"]]
    assert events == ["listening", "grinding", "turned 3 times", "it broke", "stopping", "ended"]


def test_an_error_on_the_console_shows_no_local_variables() -> None:
    with program("brief", LOG_FORMAT="console") as running:
        assert running.process.stdout is not None
        told = running.process.stdout.read()
    assert "ZeroDivisionError: division by zero" in told
    assert "a password" not in told


def test_an_unknown_log_format_is_refused_by_name() -> None:
    refused = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "LOG_FORMAT": "xml"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("LOG_FORMAT: ")


def test_an_http_server_answers_inside_the_program() -> None:
    with program() as running:
        address = running.line("listening")["address"]
        with urllib.request.urlopen(f"http://{address}/", timeout=10) as answer:
            assert answer.read() == b"alive"


class Collector:
    """Takes spans as any OTLP collector does."""

    def __init__(self) -> None:
        self.received: Queue[Any] = Queue()

    def export(self, request: Any, _context: Any) -> Any:
        self.received.put(request)
        return trace_service_pb2.ExportTraceServiceResponse()

    Export = export


def test_spans_are_exported_where_the_standard_variables_say() -> None:
    collector = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(collector, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    variables = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test",
    }
    try:
        with program(**variables) as running:
            running.line("grinding")
            running.process.terminate()
            running.line("ended")
            received = collector.received.get(timeout=10)
    finally:
        server.stop(None)
    (resource,) = received.resource_spans
    names = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
    assert names["service.name"] == "mill"
    assert names["deployment.environment.name"] == "test"
    assert [span.name for scope in resource.scope_spans for span in scope.spans] == ["grind"]
