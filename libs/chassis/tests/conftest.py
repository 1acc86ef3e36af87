"""What tests of the chassis share: a small real service, served by the real server, and the spans that it makes."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.server import GrpcServer
from headrace.jobs.v1 import jobs_service_pb2, jobs_service_pb2_grpc

SERVICE = "headrace.jobs.v1.JobsService"


class Clerk:
    """A JobsService whose GetJob does what a test puts in."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.contexts: list[trace.SpanContext] = []

    async def get_job(self, _request: Any, _context: Any) -> Any:
        self.contexts.append(trace.get_current_span().get_span_context())
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return await self.answer()
        return jobs_service_pb2.GetJobResponse()

    async def unasked(self, request: Any, _context: Any) -> Any:
        raise AssertionError(f"no test lets this reach the servicer: {request}")

    GetJob = get_job

    def __getattr__(self, _method: str) -> Any:
        return self.unasked


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture
def serve(clerk: Clerk) -> Callable[..., AbstractAsyncContextManager[tuple[GrpcServer, str]]]:
    """Serves the clerk under the given options of GrpcServer; returns the server and its address."""

    @asynccontextmanager
    async def serving(**options: Any) -> AsyncIterator[tuple[GrpcServer, str]]:
        server = GrpcServer(address="127.0.0.1:0", **options)
        server.add(jobs_service_pb2_grpc.add_JobsServiceServicer_to_server, clerk, SERVICE)  # type: ignore[arg-type]
        port = await server.start()
        await server.set_serving(True)
        try:
            yield server, f"127.0.0.1:{port}"
        finally:
            await server.stop(0)

    return serving


@pytest.fixture
def stub_of(serve: Any) -> Callable[..., AbstractAsyncContextManager[Any]]:
    """Serves the clerk under the given options of GrpcServer; returns a client of it."""

    @asynccontextmanager
    async def stub(*, token: str | None = None, **options: Any) -> AsyncIterator[Any]:
        async with serve(**options) as (_, address), open_channel(address, token=token, timeout=10) as channel:
            yield jobs_service_pb2_grpc.JobsServiceStub(channel)

    return stub


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that end during the test, with any tracer provider of the process."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()
