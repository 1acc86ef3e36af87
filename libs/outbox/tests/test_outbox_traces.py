"""The spans of a hand-over, read from the SDK's own exporter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from grpc import StatusCode
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

if TYPE_CHECKING:
    from libs.outbox.tests.conftest import JobsDouble, OutboxHouse, Relaying

tracer = trace.get_tracer("test")


def named(spans: InMemorySpanExporter, name: str) -> list[ReadableSpan]:
    return [span for span in spans.get_finished_spans() if span.name == name]


def ids(span: ReadableSpan) -> list[str]:
    assert span.context is not None
    return [f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"]


def ids_in(traceparent: str) -> list[str]:
    return traceparent.split("-")[1:3]


async def test_the_creation_context_is_the_parent_of_the_sending_and_travels_with_the_job(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, spans: InMemorySpanExporter
) -> None:
    with tracer.start_as_current_span("request"):
        [key] = await house.add()
    async with relaying():
        [row] = await house.until_sent()
    [request], [create], [send] = (named(spans, name) for name in ("request", "create email", "send email"))
    assert (create.kind, send.kind) == (SpanKind.PRODUCER, SpanKind.CLIENT)
    assert create.parent == request.context
    assert send.parent is not None
    assert create.context is not None
    assert (send.parent.trace_id, send.parent.span_id) == (create.context.trace_id, create.context.span_id)
    assert ids_in(row["traceparent"]) == ids(create)
    assert jobs.received[0].requests[0].trace_context.traceparent == row["traceparent"]
    common = {
        "messaging.system": "headrace",
        "messaging.destination.name": "email",
        "headrace.job.kind": "saas.jobs.v1.SendVerificationEmail",
        "headrace.idempotency_key": key,
    }
    operation = ("messaging.operation.name", "messaging.operation.type")
    assert create.attributes == common | dict.fromkeys(operation, "create")
    assert send.attributes == common | dict.fromkeys(operation, "send") | {"messaging.message.id": row["job_id"]}
    assert json.loads(send.to_json())["status"] == {"status_code": "UNSET"}


async def test_every_sending_of_a_row_has_a_span_and_a_refused_one_says_why(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, spans: InMemorySpanExporter
) -> None:
    [key] = await house.add()
    jobs.items[key].append(jobs.refusal(StatusCode.ABORTED, "again, please"))
    async with relaying():
        await house.until_sent()
    [create] = named(spans, "create email")
    refused, accepted = named(spans, "send email")
    assert refused.parent is not None
    assert accepted.parent is not None
    assert create.context is not None
    assert refused.parent.span_id == accepted.parent.span_id == create.context.span_id
    assert refused.attributes is not None
    assert refused.attributes["error.type"] == "ABORTED"
    assert refused.status.description == "again, please"


@pytest.mark.parametrize(("value", "kept"), [("gold", "plan=gold"), ("x" * 3000, None)])
async def test_baggage_travels_unless_the_contract_would_refuse_its_length(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying, spans: InMemorySpanExporter, value: str, kept: str | None
) -> None:
    token = context.attach(baggage.set_baggage("plan", value))
    try:
        await house.add()
    finally:
        context.detach(token)
    async with relaying():
        [row] = await house.until_sent()
    assert row["baggage"] == kept
    assert jobs.received[0].requests[0].trace_context.baggage == (kept or "")


async def test_without_a_trace_the_job_goes_without_a_context(
    house: OutboxHouse, jobs: JobsDouble, relaying: Relaying
) -> None:
    token = context.attach(context.set_value(context._SUPPRESS_INSTRUMENTATION_KEY, value=True))
    try:
        async with house.session() as session, session.begin(), relaying():
            house.outbox.add(session, SendVerificationEmail(mail_id=str(uuid4())))
    finally:
        context.detach(token)


@pytest.mark.usefixtures("spans")
async def test_what_travels_with_the_job_is_w3c_whatever_the_process_propagates_by(
    house: OutboxHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propagate, "propagator", CompositePropagator([]))  # as OTEL_PROPAGATORS=none
    with tracer.start_as_current_span("request") as request:
        await house.add()
    [row] = await house.rows()
    assert ids_in(row["traceparent"])[0] == f"{request.get_span_context().trace_id:032x}"
