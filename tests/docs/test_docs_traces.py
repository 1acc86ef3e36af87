"""The spans of a mail's job are those of the table in docs/traces.md, as they arrive at a collector."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from local_stack.journey.account import new_person, register
from local_stack.journey.clients import Clients
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.system import Options, System

pytestmark = pytest.mark.e2e

PAGE = Path(__file__).resolve().parents[2] / "docs/traces.md"
ROW = re.compile(
    r"^\| `(?P<name>[\w./ ]+)` \| (?P<kind>[A-Z]+) \| (?P<service>[\w-]+) \| (?P<parent>.*?) \| (?P<rest>.*) \|$",
    re.MULTILINE,
)
SAME = "the same, and "


class Collector(ThreadingHTTPServer):
    """Takes spans by OTLP over HTTP, and keeps each with its service's name."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Export)
        self.endpoint = f"http://127.0.0.1:{self.server_port}"
        self.spans: list[tuple[str, Span]] = []

    def take(self, request: ExportTraceServiceRequest) -> None:
        for resource in request.resource_spans:
            names = {each.key: each.value.string_value for each in resource.resource.attributes}
            for scope in resource.scope_spans:
                self.spans.extend((names["service.name"], span) for span in scope.spans)


class Export(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.take(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector that listens."""
    with Collector() as collector:
        serving = threading.Thread(target=collector.serve_forever)
        serving.start()
        yield collector
        collector.shutdown()
        serving.join()


def documented() -> dict[tuple[str, str, str, str], set[str]]:
    """The attributes of each span of the table, by name, kind, service and parent."""
    rows: dict[tuple[str, str, str, str], set[str]] = {}
    before: set[str] = set()
    for match in ROW.finditer(PAGE.read_text(encoding="utf-8")):
        named = set(re.findall(r"`([\w.]+)`", match["rest"]))
        before = named | (before if match["rest"].startswith(SAME) else set())
        rows[match["name"], match["kind"], match["service"], match["parent"].strip("` ")] = before
    return rows


def seen(spans: list[tuple[str, Span]]) -> dict[tuple[str, str, str, str], set[str]]:
    """The same of a trace's spans."""
    names = {span.span_id: span.name for _, span in spans}
    found = {}
    for service, span in spans:
        kind = Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_")
        parent = names[span.parent_span_id] if span.parent_span_id else "none"
        found[span.name, kind, service, parent] = {attribute.key for attribute in span.attributes}
    return found


def test_the_spans_of_a_mail_are_those_of_the_table(collector: Collector) -> None:
    table = documented()
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
    }
    with System(Options(jaeger=False, environment=environment)) as system:
        clients, person = Clients(system), new_person("vera")
        register(clients, person)
        clients.mails(person.email)
        [job] = clients.list_jobs("SendVerificationEmail")
        clients.close()

        def arrived() -> list[tuple[str, Span]]:
            return [(service, span) for service, span in collector.spans if span.trace_id.hex() == job.trace_id]

        def complete() -> None:
            check(len(arrived()) >= len(table), f"only {sorted(span.name for _, span in arrived())}")

        eventually(complete, within=20)
        spans = seen(arrived())
    assert spans.keys() == table.keys()
    for span, attributes in table.items():
        assert attributes <= spans[span], f"{span} lacks {attributes - spans[span]}"
    [created], [processed] = (
        [span for _, span in arrived() if span.name == f"{name} email"] for name in ("create", "process")
    )
    assert [link.span_id for link in processed.links] == [created.span_id]
