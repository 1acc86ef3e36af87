"""A jobs service that returns by script, and an outbox in a separate database.

The double is a real gRPC server on loopback; only its results are scripted. As the contract guarantees, the same key is
the same job.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import grpc
import grpc.aio
import pytest
from eventually import Eventually
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import URL, Column, MetaData, Table, Text, select, update
from sqlalchemy.engine import RowMapping
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import NullPool

from headrace.jobs.v1 import jobs_service_pb2 as pb
from headrace.jobs.v1.jobs_service_pb2_grpc import (
    JobsServiceServicer,
    JobsServiceStub,
    add_JobsServiceServicer_to_server,
)
from headrace.outbox import Backoff, Outbox, Relay, RelaySettings
from saas.jobs.v1.kinds_pb2 import SendVerificationEmail

DEADLINE = 20.0  # seconds that a test waits for what it expects


class Refusal:
    """A status with its details, for one item or for a whole call."""

    def __init__(self, code: grpc.StatusCode, message: str = "no", retry_after: timedelta | None = None) -> None:
        self.code = code
        self.status = status_pb2.Status(code=code.value[0], message=message)
        if retry_after is not None:
            info = error_details_pb2.RetryInfo()
            info.retry_delay.FromTimedelta(retry_after)
            detail = any_pb2.Any()
            detail.Pack(info)
            self.status.details.append(detail)


class JobsDouble(JobsServiceServicer):
    """Returns EnqueueBatch by script; what isn't scripted is accepted."""

    refusal = Refusal

    def __init__(self) -> None:
        self.items: dict[str, deque[Refusal]] = defaultdict(deque)  # key -> results still to be returned
        self.calls: deque[Refusal] = deque()  # results still to be returned for whole calls
        self.refuses_call: Callable[[pb.EnqueueBatchRequest], Refusal | None] = lambda _: None
        self.received: list[pb.EnqueueBatchRequest] = []
        self.received_at: list[float] = []
        self.handed: Counter[str] = Counter()
        self.jobs: dict[tuple[str, str], str] = {}
        self.open = asyncio.Event()  # while cleared, calls are held after they were processed
        self.open.set()
        self._changed = asyncio.Condition()
        self._server: grpc.aio.Server | None = None
        self.port = 0

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listens on a free port, and after a stop on the same one again."""
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        add_JobsServiceServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(None)
            self._server = None

    async def EnqueueBatch(self, request: pb.EnqueueBatchRequest, context: Any) -> pb.EnqueueBatchResponse:  # noqa: N802
        self.received.append(request)
        self.received_at.append(asyncio.get_running_loop().time())
        refusal = self.refuses_call(request) or (self.calls.popleft() if self.calls else None)
        response = pb.EnqueueBatchResponse()
        if refusal is None:
            self.handed.update(item.idempotency_key for item in request.requests)
            response.results.extend(self.answers(request))
        async with self._changed:
            self._changed.notify_all()
        if refusal is not None:
            details = (("grpc-status-details-bin", refusal.status.SerializeToString()),)
            await context.abort(refusal.code, refusal.status.message, details)
        await self.open.wait()
        return response

    def answers(self, request: pb.EnqueueBatchRequest) -> list[pb.EnqueueResult]:
        return [self._answer(item) for item in request.requests]

    def _answer(self, item: pb.EnqueueRequest) -> pb.EnqueueResult:
        if self.items[item.idempotency_key]:
            return pb.EnqueueResult(refused=self.items[item.idempotency_key].popleft().status)
        known = (item.payload.type_url, item.idempotency_key)
        duplicate = known in self.jobs
        job_id = self.jobs.setdefault(known, str(len(self.jobs) + 1))
        return pb.EnqueueResult(accepted=pb.EnqueueResponse(job_id=job_id, duplicate=duplicate))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits until the condition holds after a call."""
        async with asyncio.timeout(DEADLINE), self._changed:
            await self._changed.wait_for(condition)


class OutboxHouse:
    """A database with an outbox and a table of the caller's own."""

    def __init__(self, engine: AsyncEngine) -> None:
        metadata = MetaData()
        self.engine = engine
        self.users = Table("users", metadata, Column("email", Text, primary_key=True))
        self.outbox = Outbox(metadata)
        self.metadata = metadata

    def session(self) -> AsyncSession:
        return AsyncSession(self.engine)

    async def add(self, count: int = 1, **options: Any) -> list[str]:
        """Adds rows in one transaction and returns their keys."""
        async with self.session() as session, session.begin():
            return [
                str(self.outbox.add(session, SendVerificationEmail(mail_id=str(uuid4())), **options))
                for _ in range(count)
            ]

    async def rows(self) -> list[RowMapping]:
        """All rows by id."""
        async with self.engine.connect() as connection:
            return list(
                (await connection.execute(select(self.outbox.table).order_by(self.outbox.table.c.id))).mappings()
            )

    async def row(self, row_id: str) -> RowMapping:
        return next(row for row in await self.rows() if row["id"] == UUID(row_id))

    async def age(self, row_id: str, age: timedelta) -> None:
        """Makes a row look as if it had been added so long ago."""
        table = self.outbox.table
        async with self.engine.begin() as connection:
            await connection.execute(
                update(table).where(table.c.id == UUID(row_id)).values(created_at=table.c.created_at - age)
            )

    async def until(self, condition: Callable[[list[RowMapping]], bool]) -> list[RowMapping]:
        """Waits until the table looks as expected, and returns its rows."""
        rows: list[RowMapping] = []

        async def as_expected() -> bool:
            nonlocal rows
            rows = await self.rows()
            return condition(rows)

        await Eventually()(as_expected, within=DEADLINE)
        return rows

    async def until_sent(self) -> list[RowMapping]:
        return await self.until(lambda rows: all(row["sent_at"] for row in rows))

    async def until_parked(self) -> list[RowMapping]:
        return await self.until(lambda rows: all(row["parked_at"] for row in rows))


QUICK = RelaySettings(
    poll=timedelta(milliseconds=50),
    lease=timedelta(seconds=5),
    call_timeout=timedelta(seconds=3),
    row_backoff=Backoff(base=timedelta(milliseconds=20), factor=2, cap=timedelta(milliseconds=100)),
    outage_backoff=Backoff(base=timedelta(milliseconds=20), factor=2, cap=timedelta(milliseconds=100)),
)


@pytest.fixture
def quick() -> RelaySettings:
    """Settings with short pauses."""
    return QUICK


@pytest.fixture
async def jobs() -> AsyncIterator[JobsDouble]:
    """A jobs service that returns by script."""
    double = JobsDouble()  # type: ignore[abstract]  # the relay calls EnqueueBatch alone
    await double.start()
    yield double
    double.open.set()
    await double.stop()


@pytest.fixture
async def house(database: str) -> AsyncIterator[OutboxHouse]:
    """An outbox in a separate database."""
    # Without a pool: what becomes of the relay's connections is no concern of the test's own.
    engine = create_async_engine(database.replace("postgresql://", "postgresql+psycopg://"), poolclass=NullPool)
    house = OutboxHouse(engine)
    async with engine.begin() as connection:
        await connection.run_sync(house.metadata.create_all)
    yield house
    await engine.dispose()


@contextlib.asynccontextmanager
async def pooled_engine(url: URL) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(url)
    try:
        yield engine
    finally:
        await engine.dispose()


Relaying = Callable[..., contextlib.AbstractAsyncContextManager[Relay]]


@pytest.fixture
def relaying(house: OutboxHouse, jobs: JobsDouble) -> Relaying:
    """Runs a relay between the outbox and the double while the block runs, then stops it in an orderly way."""

    @contextlib.asynccontextmanager
    async def run(settings: RelaySettings = QUICK) -> AsyncIterator[Relay]:
        stop = asyncio.Event()
        # Quick to find a server that comes back.
        options = [("grpc.initial_reconnect_backoff_ms", 50), ("grpc.max_reconnect_backoff_ms", 100)]
        async with (
            pooled_engine(house.engine.url) as engine,
            grpc.aio.insecure_channel(jobs.target, options=options) as channel,
            asyncio.TaskGroup() as tasks,
        ):
            relay = Relay(engine, house.outbox, JobsServiceStub(channel), settings=settings)
            tasks.create_task(relay.run(stop))
            try:
                yield relay
            finally:
                stop.set()

    return run


@pytest.fixture(scope="session")
def exporter() -> InMemorySpanExporter:
    """Keeps every span of this process."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter) -> InMemorySpanExporter:
    """The spans that ended during the test."""
    exporter.clear()
    return exporter
