"""Spans of calls: whose child they are, what they say, and what is not traced at all."""

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headrace.chassis.rpc.client import CarriedContext, open_channel
from headrace.chassis.rpc.errors import RpcError
from headrace.jobs.v1 import jobs_service_pb2
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub

ONE = jobs_service_pb2.GetJobRequest(job_id="1")
SERVICE = "headrace.jobs.v1.JobsService"
NAME = f"{SERVICE}/GetJob"


def the(spans: InMemorySpanExporter, kind: SpanKind) -> Any:
    """The one span of a kind."""
    (found,) = [span for span in spans.get_finished_spans() if span.kind is kind]
    return found


async def test_a_call_is_a_client_span_with_the_servers_below_it(
    clerk: Any, spans: InMemorySpanExporter, stub_of: Any
) -> None:
    async with stub_of() as stub:
        await stub.GetJob(ONE)
    client, server = the(spans, SpanKind.CLIENT), the(spans, SpanKind.SERVER)
    assert client.name == server.name == NAME
    assert server.parent.span_id == client.context.span_id
    assert server.context.trace_id == client.context.trace_id
    for span in (client, server):
        assert span.attributes["rpc.system.name"] == "grpc"
        assert span.attributes["rpc.method"] == NAME
        assert span.attributes["rpc.response.status_code"] == "OK"
        assert span.status.status_code is StatusCode.UNSET
    assert client.attributes["server.address"] == server.attributes["network.peer.address"] == "127.0.0.1"
    assert clerk.contexts == [server.context]


async def test_at_a_public_door_an_outside_context_is_linked(spans: InMemorySpanExporter, stub_of: Any) -> None:
    async with stub_of(trust_callers=False) as stub:
        await stub.GetJob(ONE)
    client, server = the(spans, SpanKind.CLIENT), the(spans, SpanKind.SERVER)
    assert server.parent is None
    assert server.context.trace_id != client.context.trace_id
    assert [link.context.span_id for link in server.links] == [client.context.span_id]


async def test_a_caller_that_may_be_killed_carries_its_own_span(spans: InMemorySpanExporter, serve: Any) -> None:
    async with serve() as (_, address), open_channel(address, carried=CarriedContext.CALLER) as channel:
        with trace.get_tracer("test").start_as_current_span("process email") as process:
            await JobsServiceStub(channel).GetJob(ONE)
    client, server = the(spans, SpanKind.CLIENT), the(spans, SpanKind.SERVER)
    assert client.parent.span_id == server.parent.span_id == process.get_span_context().span_id


async def test_baggage_arrives_where_callers_are_trusted(clerk: Any, spans: InMemorySpanExporter, stub_of: Any) -> None:
    seen: list[object] = []

    async def answer() -> Any:
        seen.append(baggage.get_baggage("tenant"))
        return jobs_service_pb2.GetJobResponse()

    clerk.answer = answer
    token = otel_context.attach(baggage.set_baggage("tenant", "mill-7"))
    try:
        async with stub_of() as stub:
            await stub.GetJob(ONE)
        async with stub_of(trust_callers=False) as stub:
            await stub.GetJob(ONE)
    finally:
        otel_context.detach(token)
    assert seen == ["mill-7", None]


@pytest.mark.parametrize(
    ("answer", "code", "error_type"),
    [
        (RpcError(grpc.StatusCode.NOT_FOUND, "no"), "NOT_FOUND", None),
        (RpcError(grpc.StatusCode.DATA_LOSS, "gone"), "DATA_LOSS", "DATA_LOSS"),
        (ValueError("bug"), "INTERNAL", "INTERNAL"),
    ],
)
async def test_a_span_says_how_the_call_ended(
    clerk: Any, spans: InMemorySpanExporter, answer: Exception, code: str, error_type: str | None, stub_of: Any
) -> None:
    clerk.answer = answer
    async with stub_of() as stub:
        with pytest.raises(grpc.aio.AioRpcError):
            await stub.GetJob(ONE)
    server, client = the(spans, SpanKind.SERVER), the(spans, SpanKind.CLIENT)
    assert server.attributes["rpc.response.status_code"] == client.attributes["rpc.response.status_code"] == code
    assert (server.status.status_code is StatusCode.ERROR) is (error_type is not None)
    assert server.attributes.get("error.type") == error_type
    assert client.status.status_code is StatusCode.ERROR


async def test_a_call_past_its_deadline_ends_its_span(clerk: Any, spans: InMemorySpanExporter, stub_of: Any) -> None:
    ended = asyncio.Event()

    async def answer() -> Any:  # the deadline is far enough off for the call to arrive here first
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    clerk.answer = answer
    async with stub_of() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetJob(ONE, timeout=2)
        await asyncio.wait_for(ended.wait(), 10)
    assert refused.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    # The client may give the call up before the server's own clock says that its time is over.
    assert the(spans, SpanKind.SERVER).attributes["rpc.response.status_code"] in {"DEADLINE_EXCEEDED", "CANCELLED"}


async def test_health_checks_are_not_traced(spans: InMemorySpanExporter, serve: Any) -> None:
    async with serve() as (_, address), grpc.aio.insecure_channel(address) as channel:
        await health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest())
    finished: tuple[ReadableSpan, ...] = spans.get_finished_spans()
    assert finished == ()
