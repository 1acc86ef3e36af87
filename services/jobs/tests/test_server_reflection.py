"""A client that knows nothing but an address and a token: everything else it learns from reflection."""

import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from jobs_service.server.program import JobsServer

SERVICE = "headrace.jobs.v1.JobsService"
KIND = "saas.jobs.v1.SendVerificationEmail"


def enqueue_knowing_nothing(address: str) -> Any:
    """Looks the service and the kind up, writes a payload, enqueues it, and returns the job."""
    with grpc.insecure_channel(address) as channel:
        learned = ProtoReflectionDescriptorDatabase(channel)
        assert SERVICE in learned.get_services()
        pool = DescriptorPool(learned)
        service = pool.FindServiceByName(SERVICE)

        def call(method: str, **fields: Any) -> Any:
            described = service.FindMethodByName(method)
            untyped: Any = channel.unary_unary(
                f"/{SERVICE}/{method}",
                request_serializer=lambda message: message.SerializeToString(),
                response_deserializer=GetMessageClass(described.output_type).FromString,
            )
            request = GetMessageClass(described.input_type)(**fields)
            return untyped(request, metadata=(("authorization", "Bearer api-token"),), timeout=10)

        assert KIND in [kind.name for kind in call("ListKinds").kinds]
        payload = GetMessageClass(pool.FindMessageTypeByName(KIND))(mail_id="0190a8a4-7c1e-7b8a-9d53-000000000001")
        options = pool.FindMessageTypeByName(KIND).GetOptions()
        assert any(option.full_name == "headrace.jobs.v1.job" for option, _ in options.ListFields())
        packed = {"type_url": f"type.googleapis.com/{KIND}", "value": payload.SerializeToString()}
        job_id = call("Enqueue", payload=packed, idempotency_key="once").job_id
        return call("GetJob", job_id=job_id).job


async def test_a_client_that_knows_only_reflection_enqueues_a_job(jobs_server: JobsServer) -> None:
    job = await asyncio.to_thread(enqueue_knowing_nothing, f"127.0.0.1:{jobs_server.port}")
    assert (job.kind, job.queue, job.caller) == (KIND, "email", "api")


def package_of(symbol: str, address: str) -> str:
    with grpc.insecure_channel(address) as channel:
        return str(ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(symbol).package)


@pytest.mark.parametrize("symbol", [f"{SERVICE}.ExplainJob", "grpc.health.v1.Health.Check"])
async def test_the_file_of_a_method_is_found_by_the_methods_name(jobs_server: JobsServer, symbol: str) -> None:
    address = f"127.0.0.1:{jobs_server.port}"
    assert await asyncio.to_thread(package_of, symbol, address) == symbol.rsplit(".", 2)[0]
    request = reflection_pb2.ServerReflectionRequest(file_containing_symbol=symbol)
    async with grpc.aio.insecure_channel(address) as channel:
        ask: Any = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo
        assert [answer.original_request async for answer in ask(iter([request]))] == [request]


@pytest.mark.parametrize("symbol", [f"{SERVICE}.Nothing", "nothing.Service.Method", "Method", ".", "\0", ""])
async def test_no_file_is_found_for_what_there_is_not(jobs_server: JobsServer, symbol: str) -> None:
    with pytest.raises(KeyError):
        await asyncio.to_thread(package_of, symbol, f"127.0.0.1:{jobs_server.port}")
