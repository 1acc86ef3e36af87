"""One trace per job: its wait and each attempt under what asked for it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from engine_kinds import TestKinds
from eventually import Eventually
from installation import Installation
from opentelemetry import baggage, context, propagate, trace
from opentelemetry.propagators.composite import CompositePropagator
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from headrace.queue import NewJob, Periodic, RunningJob, Snooze, TraceParent, tracing
from headrace.queue.maintenance import scheduler
from headrace.queue.tracing import Attempt, AttemptSpanIds


class Traces:
    """What was written, and a tracer for the caller's own spans."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider(id_generator=AttemptSpanIds())  # type: ignore[arg-type]
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("headrace.queue")

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == name]


@pytest.fixture
def traces(monkeypatch: pytest.MonkeyPatch) -> Traces:
    """The engine's spans of this test, whatever provider the process has."""
    traces = Traces()
    monkeypatch.setattr(tracing, "_tracer", traces.tracer)
    monkeypatch.setattr(scheduler, "INTERVAL", timedelta(milliseconds=20))
    return traces


async def run(
    installation: Installation, eventually: Eventually, handler: Any, job_id: int, state: str = "completed"
) -> None:
    async with installation.working(installation.worker(installation.handlers(Greet=handler))):
        await eventually(lambda: installation.is_in(job_id, state))


async def do_nothing(message: Any, job: RunningJob) -> None:
    """Completes its job."""


def length(span: ReadableSpan) -> int:
    assert span.start_time is not None
    assert span.end_time is not None
    return span.end_time - span.start_time


async def test_wait_and_process_hang_under_the_span_that_asked_for_the_job(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    with traces.tracer.start_as_current_span("create greetings") as asking:
        job_id = await installation.enqueue(TestKinds.Greet())
    creation = asking.get_span_context()
    job = await installation.job(job_id)
    assert job.traceparent is not None
    assert job.traceparent.startswith(f"00-{creation.trace_id:032x}-{creation.span_id:016x}-")
    await run(installation, eventually, do_nothing, job_id)

    [wait], [process] = traces.named("wait greetings"), traces.named("process greetings")
    for span in (wait, process):
        assert span.context is not None
        assert span.parent is not None
        assert (span.context.trace_id, span.parent.span_id) == (creation.trace_id, creation.span_id)
    assert (wait.kind, process.kind) == (SpanKind.INTERNAL, SpanKind.CONSUMER)
    assert [link.context.span_id for link in process.links] == [creation.span_id]
    assert process.status.status_code is StatusCode.UNSET
    waited = process.attributes["headrace.job.wait_ms"]  # type: ignore[index]
    assert dict(process.attributes or {}) == {
        "messaging.system": "headrace",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.destination.name": "greetings",
        "messaging.message.id": str(job_id),
        "headrace.job.kind": "headrace.test.v1.Greet",
        "headrace.job.attempt": 1,
        "headrace.job.lease": 1,
        "headrace.job.wait_ms": waited,
    }
    assert length(wait) == pytest.approx(float(waited) * 1e6, rel=0.01)  # type: ignore[arg-type]


async def test_the_wait_is_measured_by_the_database_and_ends_when_the_handler_starts(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    with traces.tracer.start_as_current_span("create"):
        job_id = await installation.enqueue(TestKinds.Greet())
    await installation.execute("update headrace.jobs set ready_at = ready_at - interval '1 hour'")
    await run(installation, eventually, do_nothing, job_id)
    [wait], [process] = traces.named("wait greetings"), traces.named("process greetings")
    assert length(wait) > 3600e9
    assert wait.end_time <= process.start_time  # type: ignore[operator]


async def test_clocks_that_differ_make_no_negative_wait(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    with traces.tracer.start_as_current_span("create"):
        job_id = await installation.enqueue(TestKinds.Greet())
    await installation.execute("update headrace.jobs set ready_at = ready_at + interval '1 hour'")
    await run(installation, eventually, do_nothing, job_id)
    [wait] = traces.named("wait greetings")
    assert length(wait) == 0


async def test_a_retry_is_a_sibling_of_the_attempt_before(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    async def greet(message: Any, job: RunningJob) -> None:
        if job.attempt == 1:
            raise ConnectionError("a secret that belongs in no trace")

    with traces.tracer.start_as_current_span("create") as asking:
        job_id = await installation.enqueue(TestKinds.Greet())
    await run(installation, eventually, greet, job_id)

    failed, worked = traces.named("process greetings")
    assert [span.parent.span_id for span in (failed, worked)] == [asking.get_span_context().span_id] * 2  # type: ignore[union-attr]
    assert failed.context.span_id != worked.context.span_id
    assert failed.status.status_code is StatusCode.ERROR
    assert failed.attributes["error.type"] == "ConnectionError"  # type: ignore[index]
    assert "secret" not in failed.to_json()
    assert worked.status.status_code is StatusCode.UNSET
    assert [span.attributes["headrace.job.attempt"] for span in (failed, worked)] == [1, 2]  # type: ignore[index]
    assert len(traces.named("wait greetings")) == 2
    assert all(length(span) >= 0 for span in traces.named("wait greetings"))


async def test_the_span_of_an_attempt_has_the_id_that_a_rescuer_would_give_it(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    with traces.tracer.start_as_current_span("create"):
        job_id = await installation.enqueue(TestKinds.Greet())
    await run(installation, eventually, do_nothing, job_id)
    job = await installation.job(job_id)
    assert job.traceparent is not None
    as_the_rescuer_sees_it = Attempt(job_id, 1, job.kind, job.queue, 1, TraceParent(job.traceparent))
    tracing.lost_span(as_the_rescuer_sees_it, ran_ms=1_000, worker="host:1")
    worked, lost = traces.named("process greetings")
    assert lost.context == worked.context
    assert lost.parent == worked.parent
    assert lost.attributes["error.type"] == "worker_lost"  # type: ignore[index]
    assert length(lost) == pytest.approx(1e9, rel=0.01)


async def test_the_handlers_own_spans_hang_under_its_attempt(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    async def greet(message: Any, job: RunningJob) -> Snooze | None:
        with traces.tracer.start_as_current_span("call the api"):
            return None if job.lease > 1 else Snooze(timedelta(0))

    def greet_in_thread(message: Any, job: RunningJob) -> None:
        with traces.tracer.start_as_current_span("call in a thread"):
            pass

    for handler in (greet, greet_in_thread):
        with traces.tracer.start_as_current_span("create"):
            job_id = await installation.enqueue(TestKinds.Greet())
        await run(installation, eventually, handler, job_id)
    attempts = {span.context.span_id for span in traces.named("process greetings")}
    calls = [*traces.named("call the api"), *traces.named("call in a thread")]
    assert len(calls) == len(attempts) == 3
    assert {span.parent.span_id for span in calls} == attempts  # type: ignore[union-attr]
    own = {span.context.span_id for span in calls}
    assert len(own) == 3
    assert not own & attempts


async def test_an_explicit_context_goes_before_the_current_span(installation: Installation, traces: Traces) -> None:
    given = TraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1", "tenant=7")
    with traces.tracer.start_as_current_span("create"):
        job_id = await installation.enqueue(TestKinds.Greet(), trace=given)
    [row] = await installation.execute(
        "select traceparent, tracestate, baggage from headrace.jobs where id = %s", (job_id,)
    )
    assert row == (given.traceparent, given.tracestate, given.baggage)


async def test_baggage_reaches_the_handler(installation: Installation, eventually: Eventually, traces: Traces) -> None:
    seen: list[object] = []

    async def greet(message: Any, job: RunningJob) -> None:
        seen.append(baggage.get_baggage("tenant"))

    with traces.tracer.start_as_current_span("create"):
        token = context.attach(baggage.set_baggage("tenant", "7"))
        job_id = await installation.enqueue(TestKinds.Greet())
        context.detach(token)
    await run(installation, eventually, greet, job_id)
    assert seen == ["7"]


async def test_a_job_enqueued_without_a_trace_begins_one(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    async with await installation.connect() as connection:
        job_id = (await installation.enqueuer.enqueue_async(connection, NewJob(TestKinds.Greet()))).job_id
    assert (await installation.job(job_id)).traceparent is None
    with traces.tracer.start_as_current_span("around the worker"):
        await run(installation, eventually, do_nothing, job_id)
    [process] = traces.named("process greetings")
    assert (process.parent, list(process.links)) == (None, [])
    assert traces.named("wait greetings") == []
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_each_tick_of_a_periodic_job_is_the_root_of_a_trace(
    installation: Installation, eventually: Eventually, traces: Traces
) -> None:
    async def completed() -> bool:
        return bool(await installation.execute("select from headrace.jobs where state = 'completed'"))

    periodic = [Periodic("tidy", every=timedelta(hours=1), payload=TestKinds.Greet())]
    async with installation.working(installation.worker(installation.handlers(Greet=do_nothing), periodic=periodic)):
        await eventually(completed)
    [create], [wait], [process] = (traces.named(f"{name} greetings") for name in ("create", "wait", "process"))
    assert (create.parent, create.kind) == (None, SpanKind.PRODUCER)
    assert create.context is not None
    for span in (wait, process):
        assert span.parent is not None
        assert (span.parent.trace_id, span.parent.span_id) == (create.context.trace_id, create.context.span_id)


def test_what_is_stored_is_w3c_whatever_the_process_propagates_by(
    traces: Traces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(propagate, "propagator", CompositePropagator([]))  # as OTEL_PROPAGATORS=none
    with traces.tracer.start_as_current_span("request") as request:
        assert f"{request.get_span_context().trace_id:032x}" in tracing.current().traceparent
