"""Which calls are accepted: by token or certificate, within the caller's permissions and limits."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest
from authority import Authority
from eventually import Eventually
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc import StatusCode
from grpc.aio import AioRpcError
from grpc_status import rpc_status
from jobs_server_fixtures import ClientOf, JobsClient, Serve
from structlog.testing import capture_logs

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.errors import RpcError
from headrace.chassis.rpc.tokens import token_hash
from headrace.chassis.tls.certificates import ClientTls
from headrace.jobs.v1.jobs_service_pb2 import (
    EnqueueBatchRequest,
    EnqueueRequest,
    GetJobRequest,
    ListKindsRequest,
)
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub
from jobs_service.callers.caller import Caller, Callers
from jobs_service.callers.rate_limit import RateLimiter

Verification = Callable[..., EnqueueRequest]


def caller(name: str = "api", **given: Any) -> Caller:
    options: dict[str, Any] = {"token_sha256": (token_hash(f"{name}-token"),), "kinds": ("*",), "methods": ("*",)}
    return Caller(name=name, **{**options, **given})


def reason(error: AioRpcError) -> tuple[StatusCode, str, dict[str, str]]:
    info: error_details_pb2.ErrorInfo = detail(error, error_details_pb2.ErrorInfo())
    return error.code(), info.reason, dict(info.metadata)


def detail(error: AioRpcError, wanted: Message) -> Any:
    for packed in rpc_status.from_call(error).details:
        if packed.Unpack(wanted):
            return wanted
    raise AssertionError(f"no {wanted.DESCRIPTOR.full_name} in {error}")


async def refusal(call: Awaitable[object]) -> AioRpcError:
    with pytest.raises(AioRpcError) as refused:
        await call
    return refused.value


async def test_a_caller_enqueues_to_its_own_queues_only(
    serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    callers = Callers([caller(queues=("bulk-*", "email"))])
    async with serve(callers=callers) as server, client_of(server) as jobs:
        await jobs.Enqueue(verification())
        await jobs.Enqueue(verification(queue="bulk-mails"))
        error = await refusal(jobs.Enqueue(verification(queue="webhooks")))
        batch = EnqueueBatchRequest(requests=[verification(), verification(queue="bulks")])
        accepted, refused = (await jobs.EnqueueBatch(batch)).results
    denied = StatusCode.PERMISSION_DENIED
    assert reason(error) == (denied, "QUEUE_NOT_ALLOWED", {"caller": "api", "queue": "webhooks"})
    assert accepted.HasField("accepted")
    assert refused.refused.code == denied.value[0]


async def test_calls_beyond_a_callers_rate_are_told_when_to_come_back(serve: Serve, client_of: ClientOf) -> None:
    callers = Callers([caller(rate=0.5, burst=3), caller("other")])
    async with serve(callers=callers) as server, client_of(server) as jobs:
        for _ in range(3):
            await jobs.ListKinds(ListKindsRequest())
        error = await refusal(jobs.ListKinds(ListKindsRequest()))
        async with client_of(server, "other-token") as other:
            await other.ListKinds(ListKindsRequest())
    exhausted = StatusCode.RESOURCE_EXHAUSTED
    assert reason(error) == (exhausted, "CALLER_LIMITED", {"caller": "api", "limit": "rate"})
    delay = detail(error, error_details_pb2.RetryInfo()).retry_delay.ToTimedelta().total_seconds()
    assert 0 < delay <= 2


def test_a_rate_is_a_bucket_that_fills_up_again() -> None:
    now = 0.0
    limiter = RateLimiter(lambda: now)
    limited = caller(rate=2, burst=4)

    def passes() -> bool:
        try:
            limiter.count(limited)
        except Exception:  # noqa: BLE001 (its details are looked at elsewhere)
            return False
        return True

    assert [passes() for _ in range(5)] == [True, True, True, True, False]
    now = 0.5
    assert [passes(), passes()] == [True, False]
    now = 100.0  # no more than the burst is saved up
    assert [passes() for _ in range(5)] == [True, True, True, True, False]
    limited = caller()  # the limit is lifted
    assert all(passes() for _ in range(100))


def test_rejected_calls_do_not_flood_the_log() -> None:
    times = iter([0.0, 0.0])
    limiter = RateLimiter(lambda: next(times))
    limited = caller(rate=0.001, burst=1)
    limiter.count(limited)
    with capture_logs() as logs:
        for at in (0.0, 0.1, 0.2, 10.0, 10.1):
            times = iter([at, at])
            with pytest.raises(RpcError):
                limiter.count(limited)
    assert [(line["event"], line["caller"], line["rejected"]) for line in logs] == [
        ("caller limited", "api", 1),
        ("caller limited", "api", 3),
    ]


async def test_calls_in_flight_are_limited_and_an_ended_one_makes_room(
    database: str, serve: Serve, client_of: ClientOf, verification: Verification
) -> None:
    callers = Callers([caller(in_flight=2)])
    async with serve(callers=callers) as server, client_of(server) as jobs:
        with psycopg.connect(database) as holder:
            holder.execute("lock table headrace.jobs in access exclusive mode")
            held = [asyncio.create_task(enqueued(jobs, verification())) for _ in range(2)]
            error = await until_limited(lambda: jobs.GetJob(GetJobRequest(job_id="x")))
            holder.rollback()
        await asyncio.gather(*held)
        await jobs.Enqueue(verification())
    assert reason(error) == (StatusCode.RESOURCE_EXHAUSTED, "CALLER_LIMITED", {"caller": "api", "limit": "in_flight"})
    assert detail(error, error_details_pb2.RetryInfo()).retry_delay.ToTimedelta().total_seconds() > 0


async def enqueued(jobs: JobsClient, request: EnqueueRequest) -> None:
    await jobs.Enqueue(request)


async def until_limited(call: Callable[[], Any]) -> AioRpcError:
    """Calls until it is refused for a limit; the calls that are held arrive when they like."""

    async def limited() -> AioRpcError | None:
        error = await refusal(call())
        return error if error.code() is StatusCode.RESOURCE_EXHAUSTED else None

    return await Eventually()(limited)


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


@pytest.fixture
def encrypted(ours: Authority) -> dict[str, Any]:
    """Settings of a server that wants to see certificates."""
    certificate, key = ours.issue("server")
    return {
        "jobs_grpc_tls_certificate": certificate,
        "jobs_grpc_tls_key": key,
        "jobs_grpc_tls_client_ca": ours.certificate,
    }


async def test_a_certificate_says_who_is_calling(
    serve: Serve, ours: Authority, encrypted: dict[str, Any], verification: Verification
) -> None:
    callers = Callers(
        [
            caller("api", token_sha256=(), identities=("uri:spiffe://example.com/ns/saas/sa/api",)),
            caller("mailer", token_sha256=(), identities=("dns:*.mail.example.com",), methods=("Enqueue",)),
            caller("old", token_sha256=(), identities=("cn:old",), rate=1, burst=1, methods=("ListKinds",)),
            caller("ops"),
        ]
    )
    async with serve(callers=callers, **encrypted) as server, AsyncExitStack() as stack:

        async def known_as(name: str, token: str | None = None, **names: Any) -> Any:
            tls = ClientTls(ours.certificate, *ours.issue(name, **names))
            channel = open_channel(f"127.0.0.1:{server.port}", tls=tls, token=token, timeout=10)
            return JobsServiceStub(await stack.enter_async_context(channel))

        api = await known_as("a", uris=["spiffe://example.com/ns/saas/sa/api"])
        job_id = (await api.Enqueue(verification())).job_id
        assert (await api.GetJob(GetJobRequest(job_id=job_id))).job.caller == "api"

        mailer = await known_as("b", dns=["one.mail.example.com"])
        await mailer.Enqueue(verification())
        error = await refusal(mailer.GetJob(GetJobRequest(job_id=job_id)))
        assert reason(error)[:2] == (StatusCode.PERMISSION_DENIED, "METHOD_NOT_ALLOWED")

        old = await known_as("old")
        await old.ListKinds(ListKindsRequest())
        assert reason(await refusal(old.ListKinds(ListKindsRequest())))[1] == "CALLER_LIMITED"

        for stranger in (
            await known_as("api"),  # a common name is no alternative name
            await known_as("c", dns=["a.b.mail.example.com"]),  # a star is one part of a name
            await known_as("d", dns=["old"]),
            await known_as("e", uris=["spiffe://example.com/ns/saas/sa/api/more"]),
        ):
            error = await refusal(stranger.ListKinds(ListKindsRequest()))
            assert reason(error)[:2] == (StatusCode.UNAUTHENTICATED, "IDENTITY_UNKNOWN")

        by_token = await known_as("f", token="ops-token")
        await by_token.ListKinds(ListKindsRequest())
        wrong_token = await known_as("old", token="nonsense")
        error = await refusal(wrong_token.ListKinds(ListKindsRequest()))
        assert reason(error)[:2] == (StatusCode.UNAUTHENTICATED, "TOKEN_UNKNOWN")


async def test_without_encryption_no_caller_is_known_by_a_certificate(serve: Serve, client_of: ClientOf) -> None:
    callers = Callers([caller(token_sha256=(), identities=("cn:api",))])
    async with serve(callers=callers) as server, grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub: Any = JobsServiceStub(channel)
        error = await refusal(stub.ListKinds(ListKindsRequest()))
        assert reason(error)[:2] == (StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
