"""Health checks and reflection of every Headrace server, without token and span.

grpcio's own servicers handle the calls. This module decodes their requests, because gRPC returns UNKNOWN for bytes that
can't be decoded. It serves reflection under both of its names: grpcio has only `v1alpha`, and current clients ask for
`v1`, some for nothing else. The two are the same on the wire.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

from headrace.chassis.rpc.interceptors import Context, read_request, reading_handler

REFLECTION_V1 = "grpc.reflection.v1.ServerReflection"


def add_health(servicer: health.aio.HealthServicer, server: grpc.aio.Server) -> None:
    """Returns health checks."""
    serialize = health_pb2.HealthCheckResponse.SerializeToString

    async def check(received: bytes, context: Context) -> Any:
        return await servicer.Check(await _decoded(health_pb2.HealthCheckRequest, received, context), context)

    async def watch(_requests: Any, context: Context) -> None:
        received = await read_request(context)
        await servicer.Watch(await _decoded(health_pb2.HealthCheckRequest, received, context), context)

    untyped: Any = watch
    methods: dict[str, Any] = {
        "Check": reading_handler(check, serialize),
        "Watch": grpc.stream_stream_rpc_method_handler(untyped, response_serializer=serialize),
    }
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(health.SERVICE_NAME, methods)])


def add_reflection(services: Sequence[str], server: grpc.aio.Server) -> None:
    """Serves reflection of these services (full names), and of every message that the program knows."""
    names = (REFLECTION_V1, reflection.SERVICE_NAME)
    servicer = reflection.aio.ReflectionServicer([*services, health.SERVICE_NAME, *names])

    async def info(received: AsyncIterator[bytes], context: Context) -> AsyncIterator[Any]:
        asked = reflection_pb2.ServerReflectionRequest()

        async def requests() -> AsyncIterator[Any]:
            async for each in received:
                asked.CopyFrom(await _decoded(reflection_pb2.ServerReflectionRequest, each, context))
                yield _of_service(asked)

        async for answer in servicer.ServerReflectionInfo(
            requests(), context
        ):  # one response per request, before the next is read
            answer.original_request.CopyFrom(asked)
            yield answer

    method: Any = grpc.stream_stream_rpc_method_handler(
        info,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, {"ServerReflectionInfo": method}) for name in names]
    )


def _of_service(request: Any) -> Any:
    """Changes a request for a method's file to its service's: protobuf's pool finds no file by a method's name."""
    service, _, method = request.file_containing_symbol.rpartition(".")
    with suppress(KeyError):  # there is no such service
        if method in descriptor_pool.Default().FindServiceByName(service).methods_by_name:
            return reflection_pb2.ServerReflectionRequest(host=request.host, file_containing_symbol=service)
    return request


async def _decoded(kind: Any, received: bytes, context: Context) -> Any:
    try:
        return kind.FromString(received)
    except DecodeError as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"The request's bytes can't be decoded: {error}")
