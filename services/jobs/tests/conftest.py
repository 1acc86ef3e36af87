"""What tests of the jobs server share: a served, migrated database, callers with tokens, and clients of both kinds."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from google.protobuf import any_pb2
from google.protobuf.message import Message
from grpc import aio
from jobs_server_fixtures import ClientOf, JobsClient, Serve, Verification, Working
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from headrace.chassis.rpc.tokens import token_hash
from headrace.jobs.v1.jobs_service_pb2 import EnqueueRequest
from headrace.queue import Handlers, Kinds, Worker, WorkerSettings
from headrace.queue.db.migrate import up
from jobs_service.callers.caller import Caller, Callers
from jobs_service.kinds import load_kinds
from jobs_service.server.program import JobsServer
from jobs_service.server.settings import JobsServerSettings
from saas.jobs.v1 import kinds_pb2
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

CALLERS = Callers(
    [
        Caller(name="api", token_sha256=(token_hash("api-token"),), kinds=("*",), methods=("*",)),
        Caller(
            name="mailer",
            token_sha256=(token_hash("mailer-token"),),
            kinds=("saas.jobs.v1.SendVerificationEmail",),
            methods=("Enqueue", "EnqueueBatch", "ListKinds"),
        ),
        Caller(
            name="clock",
            token_sha256=(token_hash("clock-token"),),
            kinds=("saas.jobs.v1.ProcessStripeWebhook",),
            methods=("*",),
        ),
    ]
)


@pytest.fixture
def serve(database: str, tmp_path: Path) -> Serve:
    """Runs the server on the test's database (or another), with settings of the test's choice."""

    @asynccontextmanager
    async def running(
        url: str = database,
        *,
        migrate: bool = True,
        callers: Callers = CALLERS,
        kinds: Kinds | None = None,
        **settings: Any,
    ) -> AsyncIterator[JobsServer]:
        if migrate:
            up(url)
        chosen = JobsServerSettings(
            jobs_database_url=url,
            jobs_hash_keys=(b"0123456789abcdef",),
            jobs_kinds=("saas.jobs.v1.kinds_pb2",),
            jobs_callers_file=tmp_path / "callers.toml",
            jobs_grpc_address="127.0.0.1:0",
            **settings,
        )
        async with JobsServer(chosen, callers, kinds or load_kinds(chosen.jobs_kinds, chosen)) as server:
            yield server

    return running


@pytest.fixture
async def jobs_server(serve: Serve) -> AsyncIterator[JobsServer]:
    """The server, as it is by default."""
    async with serve() as server:
        yield server


@asynccontextmanager
async def client(server: JobsServer, token: str = "api-token") -> AsyncIterator[JobsClient]:
    """A plain client of the server: what any language has."""
    async with aio.insecure_channel(f"127.0.0.1:{server.port}", interceptors=[_Bearer(token)]) as channel:
        yield JobsClient(channel)


class _Bearer(aio.UnaryUnaryClientInterceptor):
    """Sends a token."""

    def __init__(self, token: str) -> None:
        self._header = ("authorization", f"Bearer {token}")

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        metadata = aio.Metadata(*(client_call_details.metadata or ()), self._header)
        return await continuation(client_call_details._replace(metadata=metadata), request)


@pytest.fixture
def client_of() -> ClientOf:
    """Clients of a server, by token."""
    return client


@pytest.fixture
async def jobs(jobs_server: JobsServer) -> AsyncIterator[JobsClient]:
    """A client that may do everything."""
    async with client(jobs_server) as stub:
        yield stub


@pytest.fixture
def verification() -> Verification:
    """Requests for a verification mail, each for another mail unless told."""

    def request(*, mail_id: str | None = None, **options: Any) -> EnqueueRequest:
        return EnqueueRequest(payload=packed(SendVerificationEmail(mail_id=mail_id or str(uuid4()))), **options)

    return request


@pytest.fixture
def working(database: str) -> Working:
    """Runs a worker on the test's database for the length of a block, with handlers by the kind's short name."""

    @asynccontextmanager
    async def running(settings: WorkerSettings | None = None, **functions: Any) -> AsyncIterator[Worker]:
        handlers = Handlers(Kinds.of_file(kinds_pb2.DESCRIPTOR))
        for name, function in functions.items():
            handlers.add(getattr(kinds_pb2, name), function)
        worker = Worker(database, handlers, settings=settings)
        run = asyncio.create_task(worker.run())
        try:
            yield worker
        finally:
            worker.stop()
            await run

    return running


def packed(message: Message) -> any_pb2.Any:
    payload = any_pb2.Any()
    payload.Pack(message)
    return payload


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
