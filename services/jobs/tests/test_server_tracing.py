"""The server's part of a job's one trace."""

from typing import Any

import psycopg
from jobs_server_fixtures import JobsClient, Verification
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from headrace.jobs.v1.jobs_service_pb2 import EnqueueBatchRequest, GetJobRequest, TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
CREATION = TraceContext(traceparent=f"00-{TRACE}-{SPAN}-01", tracestate="mill=rye", baggage="tenant=7")


def stored(database: str, job_id: str) -> tuple[Any, ...]:
    with psycopg.connect(database) as connection:
        row = connection.execute(
            "select traceparent, tracestate, baggage from headrace.jobs where id = %s", (job_id,)
        ).fetchone()
    assert row is not None
    return row


def accept_spans(spans: InMemorySpanExporter) -> list[Any]:
    return [span for span in spans.get_finished_spans() if span.name.startswith("accept ")]


async def test_an_items_own_context_is_its_creation_context(
    jobs: JobsClient, verification: Verification, database: str, spans: InMemorySpanExporter
) -> None:
    items = [verification(trace_context=CREATION, queue="slow"), verification(trace_context=CREATION)]
    batch = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=items))
    ids = [result.accepted.job_id for result in batch.results]
    assert [stored(database, job_id) for job_id in ids] == [(CREATION.traceparent, "mill=rye", "tenant=7")] * 2
    accepts = accept_spans(spans)
    assert [span.name for span in accepts] == ["accept slow", "accept email"]
    for span, job_id in zip(accepts, ids, strict=True):
        assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, SPAN)
        assert span.kind is SpanKind.INTERNAL
        assert span.attributes["messaging.system"] == "headrace"
        assert span.attributes["messaging.message.id"] == job_id
        assert span.attributes["headrace.job.kind"] == "saas.jobs.v1.SendVerificationEmail"
    assert (await jobs.GetJob(GetJobRequest(job_id=ids[0]))).job.trace_id == TRACE


async def test_without_one_the_call_itself_is_the_creation_context(
    jobs: JobsClient, verification: Verification, database: str, spans: InMemorySpanExporter
) -> None:
    metadata = (("traceparent", CREATION.traceparent), ("baggage", "tenant=7"))
    answer = await jobs.Enqueue(verification(), metadata=metadata)
    finished: tuple[Any, ...] = spans.get_finished_spans()
    (server,) = [span for span in finished if span.kind is SpanKind.SERVER]
    (accept,) = accept_spans(spans)
    traceparent, _, baggage = stored(database, answer.job_id)
    assert (f"{server.context.trace_id:032x}", f"{server.parent.span_id:016x}") == (TRACE, SPAN)
    assert traceparent == f"00-{TRACE}-{server.context.span_id:016x}-01"
    assert baggage == "tenant=7"
    assert accept.parent.span_id == server.context.span_id


async def test_a_context_that_is_none_does_no_harm(
    jobs: JobsClient, verification: Verification, database: str, spans: InMemorySpanExporter
) -> None:
    for broken in (
        TraceContext(traceparent="nonsense", tracestate="\0", baggage="\0"),
        TraceContext(traceparent=CREATION.traceparent, tracestate="a\0b=,,", baggage="%00\0=;"),
        TraceContext(traceparent="00-" + "0" * 32 + "-" + "0" * 16 + "-01"),
    ):
        answer = await jobs.Enqueue(verification(trace_context=broken))
        traceparent, tracestate, baggage = stored(database, answer.job_id)
        assert traceparent.startswith("00-")
        assert "\0" not in (tracestate or "") + (baggage or "")
