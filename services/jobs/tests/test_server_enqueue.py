"""Jobs that come in: what is accepted, what is answered twice, and every way of being refused."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import psycopg
import pytest
from google.protobuf import any_pb2, duration_pb2, timestamp_pb2
from google.rpc import code_pb2, error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Verification

from headrace.jobs.v1 import job_pb2
from headrace.jobs.v1.jobs_service_pb2 import (
    EnqueueBatchRequest,
    EnqueueRequest,
    GetJobRequest,
    ListKindsRequest,
)
from jobs_service.server.program import JobsServer
from saas.jobs.v1.kinds_pb2 import ProcessStripeWebhook, SendVerificationEmail

MAIL = "0190a8a4-7c1e-7b8a-9d53-000000000001"
OTHER_MAIL = "0190a8a4-7c1e-7b8a-9d53-000000000002"
PREFIX = "type.googleapis.com/saas.jobs.v1."


def detail(status: Any, kind: Any) -> Any:
    """The detail of a kind in a google.rpc.Status; empty where there is none."""
    found = kind()
    for packed in status.details:
        if packed.Unpack(found):
            break
    return found


def fields(status: Any) -> set[str]:
    return {v.field for v in detail(status, error_details_pb2.BadRequest).field_violations}


def reason(status: Any) -> str:
    text: str = detail(status, error_details_pb2.ErrorInfo).reason
    return text


def of(payload: Any, **options: Any) -> EnqueueRequest:
    packed = any_pb2.Any()
    packed.Pack(payload)
    return EnqueueRequest(payload=packed, **options)


def raw(kind: str, value: bytes = b"", **options: Any) -> EnqueueRequest:
    return EnqueueRequest(payload=any_pb2.Any(type_url=kind, value=value), **options)


async def test_an_accepted_job_can_be_read_as_it_was_sent(jobs: JobsClient, verification: Verification) -> None:
    request = verification(priority=1, max_retries=0, timeout=duration_pb2.Duration(seconds=7), queue="slow")
    answer = await jobs.Enqueue(request)
    job = (await jobs.GetJob(GetJobRequest(job_id=answer.job_id))).job
    assert job.payload == request.payload
    assert (job.kind, job.queue, job.priority) == ("saas.jobs.v1.SendVerificationEmail", "slow", 1)
    assert (job.max_retries, job.timeout.seconds, job.version) == (0, 7, 1)
    assert (job.state, job.caller, job.attempt, job.lease) == (job_pb2.JOB_STATE_AVAILABLE, "api", 0, 0)
    assert job.created_at.ToDatetime(tzinfo=UTC) <= datetime.now(UTC) + timedelta(seconds=5)
    assert not answer.duplicate


async def test_what_the_call_leaves_open_comes_from_the_kind(jobs: JobsClient, verification: Verification) -> None:
    answer = await jobs.Enqueue(verification())
    job = (await jobs.GetJob(GetJobRequest(job_id=answer.job_id))).job
    assert (job.queue, job.max_retries, job.timeout.seconds, job.priority) == ("email", 5, 30, 2)


async def test_jobs_are_accepted_while_workers_are_told_to_idle(
    serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    async with serve(jobs_enabled=False) as server, client_of(server) as jobs:
        assert (await jobs.Enqueue(verification())).job_id


async def test_a_job_for_later_is_scheduled(jobs: JobsClient, verification: Verification) -> None:
    later = timestamp_pb2.Timestamp()
    later.FromDatetime(datetime.now(UTC) + timedelta(hours=1))
    answer = await jobs.Enqueue(verification(run_at=later))
    assert (await jobs.GetJob(GetJobRequest(job_id=answer.job_id))).job.state == job_pb2.JOB_STATE_SCHEDULED


class TestIdempotency:
    """The same key: the same job, or a refusal."""

    async def test_a_repeated_call_answers_the_same_job(self, jobs: JobsClient, verification: Verification) -> None:
        request = verification(idempotency_key="row-1")
        first, second = await jobs.Enqueue(request), await jobs.Enqueue(request)
        assert (second.job_id, first.duplicate, second.duplicate) == (first.job_id, False, True)

    async def test_the_same_key_with_other_bytes_is_refused(self, jobs: JobsClient, verification: Verification) -> None:
        first = await jobs.Enqueue(verification(mail_id=MAIL, idempotency_key="row-1"))
        with pytest.raises(AioRpcError) as refused:
            await jobs.Enqueue(verification(mail_id=OTHER_MAIL, idempotency_key="row-1"))
        assert refused.value.code() == StatusCode.FAILED_PRECONDITION
        info = detail(rpc_status.from_call(refused.value), error_details_pb2.ErrorInfo)
        assert (info.reason, info.metadata["job_id"]) == ("IDEMPOTENCY_KEY_REUSED", first.job_id)

    async def test_each_caller_has_keys_of_its_own(
        self, jobs_server: JobsServer, client_of: ClientOf, verification: Verification
    ) -> None:
        request = verification(idempotency_key="row-1")
        async with client_of(jobs_server) as api, client_of(jobs_server, "mailer-token") as mailer:
            first, second = await api.Enqueue(request), await mailer.Enqueue(request)
        assert first.job_id != second.job_id
        assert not second.duplicate


REFUSALS: list[tuple[str, EnqueueRequest, StatusCode, str, set[str]]] = [
    ("no payload", EnqueueRequest(), StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID", {"payload"}),
    (
        "a payload against its rules",
        of(SendVerificationEmail(mail_id="no")),
        StatusCode.INVALID_ARGUMENT,
        "PAYLOAD_INVALID",
        {"payload.mail_id"},
    ),
    (
        "everything wrong at once",
        of(SendVerificationEmail(), queue="No!", priority=9, max_retries=-1, timeout=duration_pb2.Duration()),
        StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        {"queue", "priority", "max_retries", "timeout", "payload.mail_id"},
    ),
    (
        "bytes that do not parse as the message",
        raw(PREFIX + "SendVerificationEmail", b"\xff\xff"),
        StatusCode.INVALID_ARGUMENT,
        "PAYLOAD_UNREADABLE",
        {"payload"},
    ),
    ("a type URL without a host", raw("nonsense"), StatusCode.INVALID_ARGUMENT, "PAYLOAD_UNREADABLE", {"payload"}),
    ("a type URL without a name", raw("x/"), StatusCode.UNIMPLEMENTED, "KIND_UNKNOWN", set()),
    ("an unknown kind", raw(PREFIX + "MakeCoffee"), StatusCode.UNIMPLEMENTED, "KIND_UNKNOWN", set()),
    (
        "a message that is not a kind",
        raw("type.googleapis.com/headrace.jobs.v1.GetJobRequest"),
        StatusCode.UNIMPLEMENTED,
        "KIND_UNKNOWN",
        set(),
    ),
    (
        "a payload over the limit",
        raw(PREFIX + "SendVerificationEmail", b"\x0a" + b"\x80\x80\x10" + b"x" * 262144),
        StatusCode.OUT_OF_RANGE,
        "PAYLOAD_TOO_LARGE",
        set(),
    ),
    (
        "a key too long",
        of(SendVerificationEmail(mail_id=MAIL), idempotency_key="k" * 201),
        StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        {"idempotency_key"},
    ),
    (
        "NUL in a key",
        of(SendVerificationEmail(mail_id=MAIL), idempotency_key="a\0b"),
        StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        {"idempotency_key"},
    ),
    (
        "a time that no calendar has",
        of(SendVerificationEmail(mail_id=MAIL), run_at=timestamp_pb2.Timestamp(seconds=2**60)),
        StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        {"run_at"},
    ),
    (
        "a duration that no calendar has",
        of(SendVerificationEmail(mail_id=MAIL), timeout=duration_pb2.Duration(seconds=2**60)),
        StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        {"timeout"},
    ),
    (
        "a timeout below what can be measured",
        of(SendVerificationEmail(mail_id=MAIL), timeout=duration_pb2.Duration(nanos=1)),
        StatusCode.INVALID_ARGUMENT,
        "REQUEST_INVALID",
        {"timeout"},
    ),
]


@pytest.mark.parametrize(
    ("request_", "code", "why", "named"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
async def test_a_refused_job_says_why_alone_and_in_a_batch(
    jobs: JobsClient, request_: EnqueueRequest, code: StatusCode, why: str, named: set[str], verification: Verification
) -> None:
    with pytest.raises(AioRpcError) as refused:
        await jobs.Enqueue(request_)
    alone = rpc_status.from_call(refused.value)
    assert (refused.value.code(), reason(alone), fields(alone)) == (code, why, named)
    batch = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification(), request_, verification()]))
    assert [result.WhichOneof("outcome") for result in batch.results] == ["accepted", "refused", "accepted"]
    assert batch.results[1].refused == alone


async def test_an_unknown_kind_is_refused_with_the_kinds_there_are(jobs: JobsClient) -> None:
    with pytest.raises(AioRpcError) as refused:
        await jobs.Enqueue(raw(PREFIX + "MakeCoffee"))
    info = detail(rpc_status.from_call(refused.value), error_details_pb2.ErrorInfo)
    assert "saas.jobs.v1.SendVerificationEmail" in info.metadata["kinds"].split(",")
    assert "saas.jobs.v1.SendVerificationEmail" in (refused.value.details() or "")


async def test_a_kind_that_a_caller_may_not_enqueue_is_denied(jobs_server: JobsServer, client_of: ClientOf) -> None:
    request = of(ProcessStripeWebhook(inbox_id=MAIL))
    async with client_of(jobs_server, "mailer-token") as mailer:
        with pytest.raises(AioRpcError) as refused:
            await mailer.Enqueue(request)
        batch = await mailer.EnqueueBatch(EnqueueBatchRequest(requests=[request]))
        kinds = (await mailer.ListKinds(ListKindsRequest())).kinds
    assert refused.value.code() == StatusCode.PERMISSION_DENIED
    assert reason(rpc_status.from_call(refused.value)) == "KIND_NOT_ALLOWED"
    assert batch.results[0].refused.code == code_pb2.PERMISSION_DENIED
    assert [kind.name for kind in kinds] == ["saas.jobs.v1.SendVerificationEmail"]


async def test_a_method_that_a_caller_may_not_call_is_denied(jobs_server: JobsServer, client_of: ClientOf) -> None:
    async with client_of(jobs_server, "mailer-token") as mailer:
        with pytest.raises(AioRpcError) as refused:
            await mailer.GetJob(GetJobRequest(job_id="1"))
    assert refused.value.code() == StatusCode.PERMISSION_DENIED
    assert reason(rpc_status.from_call(refused.value)) == "METHOD_NOT_ALLOWED"


async def test_a_stranger_is_unauthenticated(
    jobs_server: JobsServer, client_of: ClientOf, verification: Verification
) -> None:
    async with client_of(jobs_server, "wrong") as stranger:
        with pytest.raises(AioRpcError) as refused:
            await stranger.Enqueue(verification())
    assert refused.value.code() == StatusCode.UNAUTHENTICATED


class TestBatch:
    """Many at once."""

    async def test_a_whole_batch_of_a_thousand_is_accepted_in_its_order(
        self, jobs: JobsClient, verification: Verification
    ) -> None:
        requests = [verification(idempotency_key=f"row-{n}") for n in range(1000)]
        first = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=requests))
        second = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=requests))
        ids = [result.accepted.job_id for result in first.results]
        assert len(set(ids)) == 1000
        assert [result.accepted.job_id for result in second.results] == ids
        assert all(result.accepted.duplicate for result in second.results)
        last = (await jobs.GetJob(GetJobRequest(job_id=ids[-1]))).job
        assert last.payload == requests[-1].payload

    async def test_a_batch_over_the_limit_is_refused_whole(
        self, serve: Serve, client_of: ClientOf, verification: Verification
    ) -> None:
        async with serve(jobs_batch_limit=2) as server, client_of(server) as jobs:
            with pytest.raises(AioRpcError) as refused:
                await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[verification()] * 3))
        status = rpc_status.from_call(refused.value)
        info = detail(status, error_details_pb2.ErrorInfo)
        assert refused.value.code() == StatusCode.OUT_OF_RANGE
        assert (info.reason, dict(info.metadata)) == ("BATCH_TOO_LARGE", {"size": "3", "limit": "2"})

    async def test_an_empty_batch_is_refused(self, jobs: JobsClient) -> None:
        with pytest.raises(AioRpcError) as refused:
            await jobs.EnqueueBatch(EnqueueBatchRequest())
        assert refused.value.code() == StatusCode.INVALID_ARGUMENT
        assert fields(rpc_status.from_call(refused.value)) == {"requests"}

    async def test_a_request_over_the_servers_memory_limit_is_refused_with_it(
        self, serve: Serve, client_of: ClientOf
    ) -> None:
        large = raw(PREFIX + "SendVerificationEmail", b"x" * 262144)
        async with serve(jobs_request_limit=1024 * 1024) as server, client_of(server) as jobs:
            with pytest.raises(AioRpcError) as refused:
                await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[large] * 5))
        assert refused.value.code() == StatusCode.RESOURCE_EXHAUSTED
        assert "1048576" in (refused.value.details() or "")

    async def test_the_same_key_twice_in_a_batch_is_one_job(self, jobs: JobsClient, verification: Verification) -> None:
        same = verification(mail_id=MAIL, idempotency_key="row-1")
        other = verification(mail_id=OTHER_MAIL, idempotency_key="row-1")
        batch = await jobs.EnqueueBatch(EnqueueBatchRequest(requests=[same, same, other]))
        first, again, reused = batch.results
        assert first.accepted.job_id == again.accepted.job_id
        assert (first.accepted.duplicate, again.accepted.duplicate) == (False, True)
        assert reason(reused.refused) == "IDEMPOTENCY_KEY_REUSED"


async def test_an_answered_job_is_committed(jobs: JobsClient, verification: Callable[..., Any], database: str) -> None:
    answer = await jobs.Enqueue(verification())
    with psycopg.connect(database) as connection:
        row = connection.execute("select state::text from headrace.jobs where id = %s", (answer.job_id,)).fetchone()
    assert row == ("available",)


async def test_bytes_that_do_not_parse_are_an_invalid_argument(jobs_server: JobsServer) -> None:
    headers = (("authorization", "Bearer api-token"),)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{jobs_server.port}") as channel:
        untyped: Any = channel.unary_unary("/headrace.jobs.v1.JobsService/Enqueue")
        with pytest.raises(AioRpcError) as refused:
            await untyped(b"\xff\xfe", metadata=headers)
    assert refused.value.code() == StatusCode.INVALID_ARGUMENT
