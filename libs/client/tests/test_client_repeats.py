"""What the clients do when the service is down, busy, or slow: with a scripted server, over real connections."""

from __future__ import annotations

import socket
import time
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from headrace.chassis.rpc.errors import RpcError, error_info, retry_info
from headrace.client import BusyError, Enqueued, InvalidRequestError, NewJob, Tls, TooLargeError, UnavailableError
from headrace.jobs.v1 import jobs_service_pb2 as pb
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

AWAY = RpcError(
    grpc.StatusCode.UNAVAILABLE, "The database is unavailable.", error_info("DATABASE_AWAY"), retry_info(0.05)
)
LIMITED = RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "Too fast.", error_info("CALLER_LIMITED"), retry_info(0.2))
FULL = RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "It is full.", error_info("QUEUE_FULL"), retry_info(0.05))
FULL_FOR_LONG = RpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, "It is full.", error_info("QUEUE_FULL"), retry_info(3600))
WRONG = RpcError(grpc.StatusCode.INVALID_ARGUMENT, "It is wrong.", error_info("REQUEST_INVALID"))


def mail() -> SendVerificationEmail:
    return SendVerificationEmail(mail_id=str(uuid4()))


async def test_a_repeat_carries_the_same_key(connect: Any, script: Any) -> None:
    script.answers = [AWAY, AWAY, pb.EnqueueResponse(job_id="17")]
    async with connect(script.target) as jobs:
        enqueued = await jobs.enqueue(mail())
    assert enqueued.job_id == "17"
    assert [request.idempotency_key for request in script.requests] == [enqueued.key] * 3
    assert script.headers[-1]["authorization"] == "Bearer client-token"


async def test_a_service_that_asks_for_a_pause_gets_it(connect: Any, script: Any) -> None:
    script.answers = [LIMITED, pb.EnqueueResponse(job_id="17")]
    async with connect(script.target) as jobs:
        begun = time.monotonic()
        await jobs.enqueue(mail())
    assert time.monotonic() - begun >= 0.2


async def test_what_is_wrong_is_not_repeated(connect: Any, script: Any) -> None:
    script.answers = [WRONG]
    async with connect(script.target) as jobs:
        with pytest.raises(InvalidRequestError):
            await jobs.enqueue(mail())
    assert len(script.requests) == 1


async def test_repeats_end_with_the_time_for_the_call(connect: Any, script: Any) -> None:
    script.answers = [AWAY]
    async with connect(script.target, call_timeout=timedelta(seconds=2)) as jobs:
        begun = time.monotonic()
        with pytest.raises(UnavailableError):
            await jobs.enqueue(mail())
    assert time.monotonic() - begun < 20  # the default would be 30 s
    assert len(script.requests) > 1


async def test_a_pause_that_is_too_long_ends_the_call_at_once(connect: Any, script: Any) -> None:
    script.answers = [FULL_FOR_LONG]
    async with connect(script.target) as jobs:
        begun = time.monotonic()
        with pytest.raises(BusyError):
            await jobs.enqueue(mail())
    assert time.monotonic() - begun < 20  # the call might take 30 s
    assert len(script.requests) == 1


async def test_a_service_that_is_not_there(connect: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with connect(f"127.0.0.1:{port}", call_timeout=timedelta(seconds=0.5)) as jobs:
        with pytest.raises(UnavailableError):
            await jobs.enqueue(mail())


async def test_a_deletion_is_not_repeated_where_no_answer_came(connect: Any, script: Any) -> None:
    script.answers = [AWAY]
    async with connect(script.target) as jobs:
        with pytest.raises(UnavailableError):
            await jobs.delete("17")
    assert len(script.requests) == 1


async def test_of_a_batch_only_what_was_refused_for_the_moment_is_sent_again(connect: Any, script: Any) -> None:
    accepted = pb.EnqueueResult(accepted=pb.EnqueueResponse(job_id="1"))
    full, wrong = pb.EnqueueResult(refused=FULL.status()), pb.EnqueueResult(refused=WRONG.status())
    script.answers = [
        AWAY,
        pb.EnqueueBatchResponse(results=[accepted, full, wrong, full]),
        pb.EnqueueBatchResponse(results=[accepted, full]),
        pb.EnqueueBatchResponse(results=[accepted]),
    ]
    wanted = [NewJob(mail()) for _ in range(4)]
    async with connect(script.target) as jobs:
        results = await jobs.enqueue_many(wanted)
    assert [type(result) for result in results] == [Enqueued, Enqueued, InvalidRequestError, Enqueued]
    keys = [[each.idempotency_key for each in request.requests] for request in script.requests]
    sent = [job.key for job in wanted]
    assert keys == [sent, sent, [sent[1], sent[3]], [sent[3]]]


async def test_what_stays_refused_is_answered_as_it_is(connect: Any, script: Any) -> None:
    refused = [pb.EnqueueResult(refused=error.status()) for error in (FULL, FULL_FOR_LONG)]
    script.answers = [pb.EnqueueBatchResponse(results=[result]) for result in refused]
    async with connect(script.target) as jobs:
        (result,) = await jobs.enqueue_many([NewJob(mail())])
    assert isinstance(result, BusyError)
    assert (result.reason, result.retry_after) == ("QUEUE_FULL", 3600)
    assert len(script.requests) == 2


async def test_too_large_for_the_channel_is_not_repeated(connect: Any, script: Any) -> None:
    script.answers = [pb.EnqueueResponse(job_id="17")]
    async with connect(script.target) as jobs:
        with pytest.raises(TooLargeError):
            await jobs.enqueue(mail(), metadata={"text": "x" * 5_000_000})
    assert script.requests == []


async def test_the_current_trace_travels_with_every_job(connect: Any, script: Any) -> None:
    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider())
    accepted = pb.EnqueueResult(accepted=pb.EnqueueResponse(job_id="1"))
    script.answers = [pb.EnqueueResponse(job_id="17"), pb.EnqueueBatchResponse(results=[accepted])]
    with trace.get_tracer("tests").start_as_current_span("request") as span:
        async with connect(script.target) as jobs:
            await jobs.enqueue(mail())
            await jobs.enqueue_many([NewJob(mail())])
    context = span.get_span_context()
    one, many = (header["traceparent"].split("-") for header in script.headers)
    assert one[1] == many[1] == f"{context.trace_id:032x}"
    assert f"{context.span_id:016x}" not in (one[2], many[2])  # the call has a separate span
    item = script.requests[1].requests[0].trace_context.traceparent.split("-")
    assert item[1:3] == [f"{context.trace_id:032x}", f"{context.span_id:016x}"]


async def test_a_client_shows_its_certificate_and_trusts_the_services(connect: Any, secure: Any) -> None:
    script, authority = secure
    script.answers = [pb.EnqueueResponse(job_id="17")]
    certificate, key = authority.issue("client")
    tls = Tls(ca=authority.certificate, certificate=certificate, key=key)
    async with connect(script.target, token=None, tls=tls) as jobs:
        assert (await jobs.enqueue(mail())).job_id == "17"
    assert "authorization" not in script.headers[0]


async def test_a_client_without_a_certificate_is_not_let_in(connect: Any, secure: Any) -> None:
    script, authority = secure
    script.answers = [pb.EnqueueResponse(job_id="17")]
    options = {"tls": Tls(ca=authority.certificate), "call_timeout": timedelta(seconds=0.5)}
    async with connect(script.target, **options) as jobs:
        with pytest.raises(UnavailableError):
            await jobs.enqueue(mail())
    assert script.requests == []
