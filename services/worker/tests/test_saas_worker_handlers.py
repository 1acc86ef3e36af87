"""The handlers, against a real gRPC server that is the api's side, a real SMTP server and the Stripe stand-in."""

# ruff: noqa: ARG002, N802 - gRPC and aiosmtpd call these by name, with all of these.

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc
import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from eventually import Eventually
from google.protobuf.message import Message
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fake_stripe.app import Double
from fake_stripe.faults import Fault
from fake_stripe.server import serving
from headrace.chassis.rpc.client import CarriedContext, open_channel
from headrace.chassis.rpc.errors import RpcError, error_info, retry_info
from headrace.chassis.rpc.server import GrpcServer
from headrace.queue import Discard, Done, Kinds, Outcome, Retry, RunningJob, Snooze
from saas.jobs.v1 import kinds_pb2
from saas.jobs.v1.worker_support_pb2 import (
    ApplyStripeEventRequest,
    ApplyStripeEventResponse,
    DrawFetchSequenceRequest,
    DrawFetchSequenceResponse,
    RecordMailSentRequest,
    RecordMailSentResponse,
    RecordStripeEventsRequest,
    RecordStripeEventsResponse,
    RenderedMail,
    RenderMailRequest,
    RenderMailResponse,
    RequeueStripeEventsRequest,
    RequeueStripeEventsResponse,
)
from saas.jobs.v1.worker_support_pb2_grpc import (
    WorkerSupportServicer,
    WorkerSupportStub,
    add_WorkerSupportServicer_to_server,
)
from saas_worker.handlers import build_handlers
from saas_worker.handlers.reconcile import Reconcile, batches
from saas_worker.outbound.smtp import MailSender, MailServer
from saas_worker.outbound.stripe import StripeReader

if TYPE_CHECKING:
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

KINDS = Kinds.of_file(kinds_pb2.DESCRIPTOR)


class Api(WorkerSupportServicer):
    """The api's side, kept to what a handler can see of it."""

    def __init__(self) -> None:
        self.calls: list[Message] = []
        self.errors: dict[str, list[RpcError]] = {}
        self.rendered = RenderMailResponse(
            mail=RenderedMail(to="bob@post.example", subject="Hi", text="Hi", message_id="<m@shop.example>")
        )
        setattr(self.rendered.mail, "from", "no-reply@shop.example")
        self.drawn = DrawFetchSequenceResponse(sequence=7, event_id="evt_1", event_type="t")
        self.inbox: set[str] = set()
        self.traceparents: list[str] = []

    def _called(self, request: Message, context: Any) -> None:
        name = type(request).__name__.removesuffix("Request")
        self.calls.append(request)
        headers = dict(context.invocation_metadata())
        self.traceparents.append(str(headers.get("traceparent")))
        if errors := self.errors.get(name):
            raise errors.pop(0)

    async def RenderMail(self, request: RenderMailRequest, context: Any) -> RenderMailResponse:
        self._called(request, context)
        return self.rendered

    async def RecordMailSent(self, request: RecordMailSentRequest, context: Any) -> RecordMailSentResponse:
        self._called(request, context)
        return RecordMailSentResponse()

    async def DrawFetchSequence(self, request: DrawFetchSequenceRequest, context: Any) -> DrawFetchSequenceResponse:
        self._called(request, context)
        return self.drawn

    async def ApplyStripeEvent(self, request: ApplyStripeEventRequest, context: Any) -> ApplyStripeEventResponse:
        self._called(request, context)
        return ApplyStripeEventResponse(applied=True)

    async def RecordStripeEvents(self, request: RecordStripeEventsRequest, context: Any) -> RecordStripeEventsResponse:
        self._called(request, context)
        ids = {json.loads(event)["id"] for event in request.events_json}
        new = ids - self.inbox
        self.inbox |= ids
        return RecordStripeEventsResponse(recorded=len(new))

    async def RequeueStripeEvents(
        self, request: RequeueStripeEventsRequest, context: Any
    ) -> RequeueStripeEventsResponse:
        self._called(request, context)
        return RequeueStripeEventsResponse(requeued=0)

    def names(self) -> list[str]:
        return [type(call).__name__.removesuffix("Request") for call in self.calls]


class Mailbox:
    def __init__(self) -> None:
        self.answer = "250 OK"
        self.taken = asyncio.Queue[Envelope]()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.answer.startswith("250"):
            self.taken.put_nowait(envelope)
        return self.answer


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
async def stub(api: Api) -> AsyncIterator[WorkerSupportAsyncStub]:
    server = GrpcServer(address="127.0.0.1:0")
    server.add(add_WorkerSupportServicer_to_server, api, "saas.jobs.v1.WorkerSupport")
    port = await server.start()
    channel = open_channel(f"127.0.0.1:{port}", token="t", carried=CarriedContext.CALLER)
    yield WorkerSupportStub(channel)
    await channel.close()
    await server.stop(0)


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def double(clock: Clock) -> Double:
    return Double(clock=clock)


@pytest.fixture
async def reader(double: Double) -> AsyncIterator[StripeReader]:
    async with serving(double) as url:
        reader = StripeReader("rk_test_x", base=url)
        yield reader
        await reader.close()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def sender(mailbox: Mailbox) -> AsyncIterator[MailSender]:
    server = await asyncio.get_running_loop().create_server(lambda: SMTP(mailbox), "127.0.0.1", 0)
    yield MailSender(MailServer("127.0.0.1", server.sockets[0].getsockname()[1]), timeout=timedelta(seconds=5))
    server.close()


Run = Callable[..., Any]


@pytest.fixture
def run(stub: WorkerSupportAsyncStub, sender: MailSender, reader: StripeReader) -> Run:
    """Runs a job by its handler, as the engine does."""
    handlers = build_handlers(api=stub, sender=sender, stripe=reader, reconcile_every=timedelta(minutes=10))

    async def run(message: Message, *, seconds: float = 30) -> Outcome:
        job = running(message, seconds)
        outcome: Outcome = await handlers[job.kind.name].function(message, job)
        return outcome

    return run


def running(message: Message, seconds: float = 30) -> RunningJob:
    kind = KINDS[message.DESCRIPTOR.full_name]
    return RunningJob(
        id=4711, lease=3, kind=kind, queue=kind.queue, version=1, payload_bytes=message.SerializeToString(), attempt=1,
        max_retries=kind.max_retries, timeout=seconds, caller="api", trace=None,
        deadline=asyncio.get_running_loop().time() + seconds,
    )  # fmt: skip


MAIL_ID = str(uuid4())
INBOX_ID = str(uuid4())
WELCOME = kinds_pb2.SendVerificationEmail(mail_id=MAIL_ID)
WEBHOOK = kinds_pb2.ProcessStripeWebhook(inbox_id=INBOX_ID)


@pytest.mark.parametrize(
    "kind", [kinds_pb2.SendVerificationEmail, kinds_pb2.SendPasswordResetEmail, kinds_pb2.SendNotificationEmail]
)
async def test_each_mail_kind_is_rendered_sent_and_recorded_under_the_jobs_lease(
    run: Run, api: Api, mailbox: Mailbox, kind: Any
) -> None:
    assert await run(kind(mail_id=MAIL_ID)) == Done()
    assert api.names() == ["RenderMail", "RecordMailSent"]
    for call in api.calls:
        assert isinstance(call, RenderMailRequest | RecordMailSentRequest)
        assert (call.mail_id, call.lease.job_id, call.lease.lease) == (MAIL_ID, "4711", 3)
    assert mailbox.taken.get_nowait().rcpt_tos == ["bob@post.example"]


@pytest.mark.parametrize("said", ["already_sent_at", "dropped"])
async def test_a_mail_that_is_sent_or_dropped_already_completes_its_job_and_sends_nothing(
    run: Run, api: Api, mailbox: Mailbox, said: str
) -> None:
    api.rendered = RenderMailResponse()
    if said == "dropped":
        api.rendered.dropped = "superseded"
    else:
        api.rendered.already_sent_at.GetCurrentTime()
    assert await run(WELCOME) == Done()
    assert api.names() == ["RenderMail"]
    assert mailbox.taken.empty()


async def test_a_mail_that_another_job_is_sending_is_snoozed_for_as_long_as_the_api_says(run: Run, api: Api) -> None:
    reserved = RpcError(grpc.StatusCode.ABORTED, "reserved", error_info("MAIL_RESERVED"), retry_info(12.5))
    api.errors["RenderMail"] = [reserved]
    assert await run(WELCOME) == Snooze(timedelta(seconds=12.5))


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (RpcError(grpc.StatusCode.NOT_FOUND, "no such mail"), Discard("the api returned NOT_FOUND: no such mail")),
        (RpcError(grpc.StatusCode.FAILED_PRECONDITION, "no"), Discard("the api returned FAILED_PRECONDITION: no")),
        (RpcError(grpc.StatusCode.INTERNAL, "oh"), Retry("the api returned INTERNAL: oh")),
        (RpcError(grpc.StatusCode.UNAUTHENTICATED, "who?"), Retry("the api returned UNAUTHENTICATED: who?")),
        (RpcError(grpc.StatusCode.ABORTED, "clash"), Retry("the api returned ABORTED: clash")),
        (
            RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", retry_info(2)),
            Retry("the api returned RESOURCE_EXHAUSTED: busy", after=timedelta(seconds=2)),
        ),
    ],
    ids=lambda value: value.code.name if isinstance(value, RpcError) else "",
)
async def test_each_error_of_the_api_has_its_outcome(run: Run, api: Api, error: RpcError, outcome: Outcome) -> None:
    api.errors["RenderMail"] = [error]
    assert await run(WELCOME) == outcome


async def test_an_api_that_is_away_is_a_retry(run: Run, api: Api) -> None:
    api.errors["RenderMail"] = [RpcError(grpc.StatusCode.UNAVAILABLE, "away")] * 10
    assert await run(WELCOME) == Retry("the api returned UNAVAILABLE: away")


async def test_a_mail_that_the_server_refuses_is_discarded_and_a_delayed_one_is_retried(
    run: Run, api: Api, mailbox: Mailbox
) -> None:
    mailbox.answer = "554 spam"
    refused = await run(WELCOME)
    assert isinstance(refused, Discard)
    assert "554 spam" in refused.reason
    mailbox.answer = "451 later"
    delayed = await run(WELCOME)
    assert isinstance(delayed, Retry)
    assert "451 later" in delayed.error
    assert set(api.names()) == {"RenderMail"}


async def test_a_job_without_the_time_for_a_mail_sends_none(run: Run, mailbox: Mailbox) -> None:
    outcome = await run(WELCOME, seconds=2)
    assert isinstance(outcome, Retry)
    assert "too little to send an email" in outcome.error
    assert mailbox.taken.empty()


async def test_a_sent_mail_is_recorded_as_soon_as_the_api_is_back(run: Run, api: Api, mailbox: Mailbox) -> None:
    # More than the channel's own repeats.
    api.errors["RecordMailSent"] = [RpcError(grpc.StatusCode.UNAVAILABLE, "away")] * 6
    assert await run(WELCOME) == Done()
    assert api.names().count("RecordMailSent") == 7
    assert mailbox.taken.qsize() == 1


async def test_a_sent_mail_is_recorded_even_when_the_job_is_stopped(run: Run, api: Api, mailbox: Mailbox) -> None:
    api.errors["RecordMailSent"] = [RpcError(grpc.StatusCode.UNAVAILABLE, "away")] * 5
    job = asyncio.create_task(run(WELCOME))
    await asyncio.wait_for(mailbox.taken.get(), 10)
    await Eventually()(lambda: "RecordMailSent" in api.names())
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert api.names().count("RecordMailSent") == 6


def pay(double: Double) -> dict[str, Any]:
    price = double.store.get("price", "price_pro_monthly")
    return double.shop.pay(double.shop.create_checkout_session([(price, 1)], {}, {})["id"])


async def test_a_webhook_is_applied_with_what_stripe_says_after_the_number_was_drawn(
    run: Run, api: Api, double: Double
) -> None:
    subscription_id = pay(double)["subscription"]
    api.drawn.object_type, api.drawn.object_id = "subscription", subscription_id
    assert await run(WEBHOOK) == Done()
    draw, apply = api.calls
    assert isinstance(draw, DrawFetchSequenceRequest)
    assert isinstance(apply, ApplyStripeEventRequest)
    assert (apply.inbox_id, apply.sequence) == (INBOX_ID, 7)
    assert json.loads(apply.object_json)["items"]["data"][0]["current_period_end"]


@pytest.mark.parametrize("object_type", ["", "subscription"], ids=["nothing to fetch", "gone"])
async def test_what_stripe_does_not_have_is_applied_as_nothing(run: Run, api: Api, object_type: str) -> None:
    api.drawn.object_type, api.drawn.object_id = object_type, "sub_gone"
    assert await run(WEBHOOK) == Done()
    assert isinstance(api.calls[-1], ApplyStripeEventRequest)
    assert api.calls[-1].object_json == b""


async def test_an_event_that_is_done_is_not_fetched_again(run: Run, api: Api, double: Double) -> None:
    api.drawn.done = True
    assert await run(WEBHOOK) == Done()
    assert api.names() == ["DrawFetchSequence"]
    assert double.api.ledger == []


async def test_stripe_being_away_is_a_retry_and_an_unknown_type_waits_for_a_newer_worker(
    run: Run, api: Api, double: Double
) -> None:
    api.drawn.object_type, api.drawn.object_id = "subscription", "sub_1"
    double.faults.set(Fault("rate_limit"))
    assert isinstance(await run(WEBHOOK), Retry)
    api.drawn.object_type = "charge"
    newer = await run(WEBHOOK)
    assert isinstance(newer, Retry)
    assert "'charge'" in newer.error
    assert "ApplyStripeEvent" not in api.names()


async def test_a_reconcile_records_what_the_inbox_lacks_then_hands_over_again(
    run: Run, api: Api, double: Double, clock: Clock
) -> None:
    clock.now = int(time.time())
    pay(double)
    listed = {event["id"] for event in double.store.all("event")}
    assert await run(kinds_pb2.ReconcileStripe(), seconds=300) == Done()
    assert api.inbox == listed
    assert api.names()[-1] == "RequeueStripeEvents"


async def test_a_reconcile_hands_over_again_even_when_stripe_is_away(run: Run, api: Api, double: Double) -> None:
    double.faults.set(Fault("rate_limit"))
    assert isinstance(await run(kinds_pb2.ReconcileStripe(), seconds=300), Retry)
    assert api.names() == ["RequeueStripeEvents"]


MIDNIGHT = 1_800_057_600
ALL_THAT_STRIPE_KEEPS = 30 * 24 + 1


@pytest.mark.parametrize(
    ("now", "known", "read"),
    [
        (MIDNIGHT + 43_200, False, ALL_THAT_STRIPE_KEEPS),
        (MIDNIGHT + 43_200, True, 200),  # the page with the newest event, and one without any that is new
        (MIDNIGHT + 60, True, ALL_THAT_STRIPE_KEEPS),
    ],
    ids=["empty inbox", "full inbox", "first run of the day"],
)
async def test_a_reconcile_reads_back_as_far_as_it_has_to(
    stub: WorkerSupportAsyncStub,
    reader: StripeReader,
    api: Api,
    double: Double,
    clock: Clock,
    now: int,
    known: bool,
    read: int,
) -> None:
    for hours in range(40 * 24, -1, -1):
        clock.now = now - hours * 3600
        double.shop.create_customer(email=None, name=None, metadata={})
    if known:
        api.inbox = {event["id"] for event in double.store.all("event") if event["created"] < now}
    message = kinds_pb2.ReconcileStripe()
    reconcile = Reconcile(stub, reader, every=timedelta(minutes=10), clock=clock)
    assert await reconcile(message, running(message, seconds=300)) == Done()
    pages = [call.events_json for call in api.calls if isinstance(call, RecordStripeEventsRequest)]
    assert sum(len(page) for page in pages) == read


async def test_a_reconcile_stops_reading_when_its_time_is_over_and_still_hands_over(
    stub: WorkerSupportAsyncStub, reader: StripeReader, api: Api, double: Double, clock: Clock
) -> None:
    for _ in range(150):
        double.shop.create_customer(email=None, name=None, metadata={})
    message = kinds_pb2.ReconcileStripe()
    reconcile = Reconcile(stub, reader, every=timedelta(minutes=10), clock=clock)
    assert await reconcile(message, running(message, seconds=20)) == Done()
    assert api.names() == ["RecordStripeEvents", "RequeueStripeEvents"]


async def test_of_reconciles_asked_for_at_once_one_runs_and_the_next_is_for_all_the_others(
    stub: WorkerSupportAsyncStub, reader: StripeReader, api: Api, double: Double
) -> None:
    message = kinds_pb2.ReconcileStripe()
    reconcile = Reconcile(stub, reader, every=timedelta(minutes=10))
    jobs = [dataclasses.replace(running(message, seconds=300), id=number) for number in range(1, 6)]

    async def answers(*asked: int) -> list[Outcome]:
        return [*await asyncio.gather(*(reconcile(message, jobs[number]) for number in asked))]

    later = Snooze(timedelta(seconds=3))
    assert await answers(0, 1, 2, 3) == [Done(), later, later, later]
    # What has come since the second run began, job 4, is not served by it.
    assert await answers(1, 2, 4) == [Done(), later, later]
    assert api.names().count("RequeueStripeEvents") == 2
    assert await answers(2, 3) == [Done(), Done()]
    assert api.names().count("RequeueStripeEvents") == 2
    assert await answers(4) == [Done()]
    assert api.names().count("RequeueStripeEvents") == 3


def test_events_are_split_by_size_and_stay_in_order() -> None:
    events = [b"a" * 6, b"b" * 4, b"c", b"d" * 30, b"e"]
    assert batches(events, 10) == [[b"a" * 6, b"b" * 4], [b"c"], [b"d" * 30], [b"e"]]
    assert batches([], 10) == []


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that end during the test, whoever set the process's provider."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()


async def test_the_calls_of_a_handler_are_leaves_and_the_api_sees_the_jobs_own_span(
    run: Run, api: Api, double: Double, spans: InMemorySpanExporter
) -> None:
    api.drawn.object_type, api.drawn.object_id = "subscription", pay(double)["subscription"]
    with trace.get_tracer("test").start_as_current_span("process") as process:
        await run(WELCOME)
        await run(WEBHOOK)
    job = process.get_span_context()
    assert {header.split("-")[2] for header in api.traceparents} == {format(job.span_id, "016x")}
    calls = [span for span in spans.get_finished_spans() if span.kind is trace.SpanKind.CLIENT]
    assert [span.name for span in calls] == [
        "saas.jobs.v1.WorkerSupport/RenderMail",
        "smtp send",
        "saas.jobs.v1.WorkerSupport/RecordMailSent",
        "saas.jobs.v1.WorkerSupport/DrawFetchSequence",
        "GET /v1/subscriptions/{id}",
        "saas.jobs.v1.WorkerSupport/ApplyStripeEvent",
    ]
    assert {span.parent and span.parent.span_id for span in calls} == {job.span_id}
    told = " ".join(span.to_json() for span in calls)
    assert all("server.port" in (span.attributes or {}) for span in calls)
    assert "bob@post.example" not in told
    assert api.drawn.object_id not in told
