"""The gRPC server: what it rejects, how it returns errors, and what else it serves besides the services."""

import asyncio
import contextlib
import socket
import ssl
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from authority import Authority
from google.protobuf import any_pb2
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status
from structlog.testing import capture_logs

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.errors import RpcError, bad_request, error_info, retry_info
from headrace.chassis.rpc.server import GrpcServer
from headrace.chassis.rpc.tokens import TokenInterceptor, current_caller, token_hash
from headrace.chassis.tls.certificates import ClientTls, ServerTls
from headrace.jobs.v1 import jobs_service_pb2
from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceStub

SERVICE = "headrace.jobs.v1.JobsService"
GET_JOB = f"/{SERVICE}/GetJob"
ONE = jobs_service_pb2.GetJobRequest(job_id="1")


def details_of(error: grpc.aio.AioRpcError, kind: Any) -> Any:
    status = rpc_status.from_call(error)
    for packed in status.details:
        detail = kind()
        if packed.Unpack(detail):
            return detail
    raise AssertionError(f"no {kind.DESCRIPTOR.name} in {status}")


def raw(channel: Any, method: str) -> Any:
    """A method that takes and returns bytes."""
    return channel.unary_unary(method)


async def test_a_request_against_the_rules_is_refused_with_every_field(stub_of: Any) -> None:
    request = jobs_service_pb2.EnqueueRequest(priority=9, queue="No!", max_retries=-1)
    async with stub_of() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.Enqueue(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    violations = details_of(refused.value, error_details_pb2.BadRequest).field_violations
    assert {v.field for v in violations} == {"payload", "priority", "queue", "max_retries"}
    assert all(v.description for v in violations)
    assert details_of(refused.value, error_details_pb2.ErrorInfo).reason == "REQUEST_INVALID"


async def test_a_path_into_a_list_has_the_items_number(stub_of: Any) -> None:
    good = jobs_service_pb2.EnqueueRequest(payload=any_pb2.Any(type_url="x/y"))
    request = jobs_service_pb2.EnqueueBatchRequest(requests=[good, jobs_service_pb2.EnqueueRequest()])
    async with stub_of() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.EnqueueBatch(request)
    (violation,) = details_of(refused.value, error_details_pb2.BadRequest).field_violations
    assert violation.field == "requests[1].payload"


async def test_a_refusal_of_a_thousand_fields_still_reaches_the_client(stub_of: Any) -> None:
    request = jobs_service_pb2.EnqueueBatchRequest(requests=[jobs_service_pb2.EnqueueRequest(priority=9)] * 1000)
    async with stub_of() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.EnqueueBatch(request)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert len(details_of(refused.value, error_details_pb2.BadRequest).field_violations) > 20


async def test_bytes_that_are_no_message_are_an_invalid_argument(serve: Any) -> None:
    async with serve() as (_, address), open_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await raw(channel, GET_JOB)(b"\xff\xff\xff")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert details_of(refused.value, error_details_pb2.ErrorInfo).reason == "REQUEST_UNREADABLE"


@pytest.mark.parametrize("method", [GET_JOB, "/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"])
async def test_a_call_that_ends_without_a_message_is_an_invalid_argument(serve: Any, method: str) -> None:
    async with serve() as (_, address), open_channel(address) as channel:
        untyped: Any = channel
        call = untyped.stream_stream(method)(iter([]), timeout=60)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert await call.details() == "The call has no message."


async def test_an_rpc_error_is_answered_with_its_details(clerk: Any, stub_of: Any) -> None:
    clerk.answer = RpcError(
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "The queue is full.",
        error_info("QUEUE_FULL", {"queue": "email"}),
        retry_info(2.5),
        bad_request([("payload", "too much")]),
    )
    async with stub_of() as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetJob(ONE)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert refused.value.details() == "The queue is full."
    info = details_of(refused.value, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("QUEUE_FULL", "headrace", {"queue": "email"})
    assert details_of(refused.value, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 2500
    assert details_of(refused.value, error_details_pb2.BadRequest).field_violations[0].field == "payload"


async def test_an_unforeseen_exception_gives_nothing_away_and_is_logged(clerk: Any, stub_of: Any) -> None:
    clerk.answer = ValueError("password=hunter2")
    async with stub_of() as stub:
        with capture_logs() as logs, pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetJob(ONE)
    assert refused.value.code() == grpc.StatusCode.INTERNAL
    assert "hunter2" not in (refused.value.details() or "")
    (line,) = [line for line in logs if line["event"] == "call failed"]
    assert line["exc_info"]
    assert line["method"] == f"{SERVICE}/GetJob"


async def test_a_services_own_exceptions_mean_what_it_says(clerk: Any, serve: Any) -> None:
    clerk.answer = ConnectionRefusedError("no database")

    def away(_error: Exception) -> RpcError:
        return RpcError(grpc.StatusCode.UNAVAILABLE, "The database is unavailable.")

    async with serve(translations={OSError: away}) as (_, address), grpc.aio.insecure_channel(address) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await JobsServiceStub(channel).GetJob(ONE)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
    assert refused.value.details() == "The database is unavailable."


async def test_a_request_over_the_limit_is_refused_with_the_limit(stub_of: Any) -> None:
    async with stub_of(max_receive_bytes=1000) as stub:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await stub.GetJob(jobs_service_pb2.GetJobRequest(job_id="x" * 2000))
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "1000" in (refused.value.details() or "")


class TestTokens:
    """Calls with, without and with wrong tokens."""

    ROTATING = TokenInterceptor({"api": [token_hash("old"), token_hash("new")], "ops": [token_hash("root")]})

    @pytest.mark.parametrize(("token", "caller"), [("old", "api"), ("new", "api"), ("root", "ops")])
    async def test_every_token_of_a_caller_says_who_calls(
        self, clerk: Any, token: str, caller: str, stub_of: Any
    ) -> None:
        seen = []

        async def answer() -> Any:
            seen.append(current_caller())
            return jobs_service_pb2.GetJobResponse()

        clerk.answer = answer
        async with stub_of(token=token, interceptors=[self.ROTATING]) as stub:
            await stub.GetJob(ONE)
        assert seen == [caller]

    @pytest.mark.parametrize(
        ("header", "reason"),
        [
            (None, "TOKEN_MISSING"),
            ("Basic b2xkOg==", "TOKEN_MISSING"),
            ("Bearer ", "TOKEN_MISSING"),
            ("Bearer wrong", "TOKEN_UNKNOWN"),
            (f"Bearer {token_hash('old')}", "TOKEN_UNKNOWN"),
        ],
    )
    async def test_a_call_without_a_known_token_is_unauthenticated(
        self, header: str | None, reason: str, stub_of: Any
    ) -> None:
        metadata = (("authorization", header),) if header else ()
        async with stub_of(interceptors=[self.ROTATING]) as stub:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await stub.GetJob(ONE, metadata=metadata)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
        assert details_of(refused.value, error_details_pb2.ErrorInfo).reason == reason

    async def test_a_stranger_is_refused_before_its_request_is_read(self, serve: Any) -> None:
        async with (
            serve(interceptors=[self.ROTATING], max_receive_bytes=1000) as (_, address),
            open_channel(address, token="wrong") as channel,
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await raw(channel, GET_JOB)(b"\xff" * 1_000_000)
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def plain(address: str) -> grpc.aio.Channel:
    """A channel as any client opens one."""
    return grpc.aio.insecure_channel(address)


async def test_health_tells_the_process_from_its_readiness_without_a_token(serve: Any) -> None:
    answer = health_pb2.HealthCheckResponse
    async with (
        serve(interceptors=[TestTokens.ROTATING]) as (server, address),
        grpc.aio.insecure_channel(address) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)

        async def ask(service: str) -> int:
            got: int = (await stub.Check(health_pb2.HealthCheckRequest(service=service))).status
            return got

        names = ["", "readiness", SERVICE, "liveness"]
        assert [await ask(name) for name in names] == [answer.SERVING] * 4
        await server.set_serving(False)
        assert [await ask(name) for name in names] == [answer.NOT_SERVING] * 3 + [answer.SERVING]


async def test_reflection_lists_the_services_without_a_token(serve: Any) -> None:
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    async with serve(interceptors=[TestTokens.ROTATING]) as (_, address), grpc.aio.insecure_channel(address) as channel:
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(iter([request]))
        answer = await call.read()
    assert SERVICE in {service.name for service in answer.list_services_response.service}


async def test_calls_under_way_finish_before_the_server_ends(clerk: Any, serve: Any) -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def answer() -> Any:
        asked.set()
        await go_on.wait()
        return jobs_service_pb2.GetJobResponse()

    clerk.answer = answer
    async with serve() as (server, address), open_channel(address) as channel:
        call = asyncio.ensure_future(JobsServiceStub(channel).GetJob(ONE))
        await asked.wait()
        stopping = asyncio.create_task(server.stop(10))
        go_on.set()
        assert await call == jobs_service_pb2.GetJobResponse()
        await stopping


async def test_a_port_in_use_is_refused_at_start() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(RuntimeError, match=address):
            await GrpcServer(address=address).start()


async def test_a_client_without_a_server_gets_unavailable_within_its_deadline() -> None:
    async with open_channel("127.0.0.1:1", timeout=5) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await JobsServiceStub(channel).GetJob(ONE)
    assert refused.value.code() == grpc.StatusCode.UNAVAILABLE


async def test_a_call_is_repeated_when_the_service_is_away_for_a_moment(clerk: Any, stub_of: Any) -> None:
    tries = []

    async def answer() -> Any:
        tries.append(1)
        if len(tries) < 3:
            raise RpcError(grpc.StatusCode.UNAVAILABLE, "in a moment")
        return jobs_service_pb2.GetJobResponse()

    clerk.answer = answer
    async with stub_of() as stub:
        await stub.GetJob(ONE)
    assert len(tries) == 3


def test_a_status_carries_the_same_as_the_call_would() -> None:
    status = RpcError(
        grpc.StatusCode.OUT_OF_RANGE, "too large", error_info("PAYLOAD_TOO_LARGE", {"limit": "1"})
    ).status()
    assert (status.code, status.message) == (11, "too large")
    assert status.details[0].TypeName() == "google.rpc.ErrorInfo"


GOAWAY = b"\x07\0\0\0\0\0"


def call_named(name: bytes) -> bytes:
    """The HTTP/2 frames of a call whose method has this name; no gRPC library sends one that is not UTF-8."""
    headers = [(b":method", b"POST"), (b":scheme", b"http"), (b":path", name), (b":authority", b"x")]
    headers += [(b"content-type", b"application/grpc"), (b"te", b"trailers")]
    block = b"".join(b"\0" + bytes([len(k)]) + k + bytes([len(v)]) + v for k, v in headers)
    settings = b"\0\0\0\x04\0\0\0\0\0"
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + settings + len(block).to_bytes(3) + b"\x01\x05\0\0\0\x01" + block


async def break_down(address: str, tls: ssl.SSLContext | None) -> None:
    """Sends the frames, and waits until gRPC's server has ended."""
    reader, writer = await asyncio.open_connection(*address.split(":"), ssl=tls)
    with contextlib.suppress(ConnectionError):
        writer.write(call_named(b"/\xff"))
        answered = b""
        while GOAWAY not in answered and (more := await reader.read(4096)):
            answered += more
    writer.transport.abort()


async def answer_from(address: str, tls: ClientTls | None) -> None:
    """Calls until the call succeeds: a call that reaches a stopping server is rejected and retried."""
    async with open_channel(address, tls=tls) as channel, asyncio.timeout(60):
        while True:
            try:
                await JobsServiceStub(channel).GetJob(ONE, wait_for_ready=True)
                break
            except grpc.aio.AioRpcError as error:
                if error.code() not in {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED}:
                    raise


@pytest.mark.parametrize("encrypted", [False, True], ids=["in plain text", "by TLS"])
async def test_a_method_name_that_is_no_utf8_stops_neither_the_server_nor_a_call_under_way(
    serve: Any, clerk: Any, tmp_path: Path, encrypted: bool
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> Any:
        begun.set()
        await go_on.wait()
        return jobs_service_pb2.GetJobResponse()

    authority = Authority(tmp_path, "ours")
    server_tls = ServerTls(*authority.issue("server")) if encrypted else None
    client_tls = ClientTls(authority.certificate) if encrypted else None
    raw_tls = ssl.create_default_context(cafile=str(authority.certificate)) if encrypted else None
    if raw_tls is not None:
        raw_tls.set_alpn_protocols(["h2"])
    clerk.answer = slow
    async with serve(tls=server_tls) as (_, address), open_channel(address, tls=client_tls) as channel:
        under_way = JobsServiceStub(channel).GetJob(ONE, timeout=120)
        await begun.wait()
        clerk.answer = None
        for _ in range(3):
            await break_down(address, raw_tls)
            await answer_from(address, client_tls)
        go_on.set()
        await under_way


@pytest.mark.parametrize(
    "method",
    [
        *("grpc.health.v1.Health/Check", "grpc.health.v1.Health/Watch"),
        *(f"grpc.reflection.{v}.ServerReflection/ServerReflectionInfo" for v in ("v1", "v1alpha")),
    ],
)
async def test_bytes_that_are_no_message_are_an_invalid_argument_to_health_and_reflection_too(
    serve: Any, method: str
) -> None:
    async with serve() as (_, address), grpc.aio.insecure_channel(address) as channel:
        untyped: Any = channel
        call = untyped.stream_stream(f"/{method}")(iter([b"\xff\xff"]), timeout=60)
        assert await call.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_is_served_by_both_of_its_names(serve: Any, version: str) -> None:
    async with serve() as (_, address), grpc.aio.insecure_channel(address) as channel:
        untyped: Any = channel
        request = reflection_pb2.ServerReflectionRequest(list_services="")
        call = untyped.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )([request.SerializeToString()], timeout=60)
        services = {each.name async for answer in call for each in answer.list_services_response.service}
        expected = {SERVICE, "grpc.health.v1.Health"}
        assert services == expected | {f"grpc.reflection.{v}.ServerReflection" for v in ("v1", "v1alpha")}
