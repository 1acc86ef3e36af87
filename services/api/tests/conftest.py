"""The running api service: its three listeners on loopback, a separate database, and a jobs service.

The jobs service is a real gRPC server that accepts everything and keeps what it got.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import itertools
import os
import re
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any, Protocol
from uuid import uuid4

import grpc
import grpc.aio
import httpx
import psycopg
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from psycopg.rows import dict_row

from api_service import migrate
from api_service.server import Ports, serve
from api_service.settings import ApiSettings
from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.server import GrpcServer
from headrace.chassis.settings import load
from headrace.jobs.v1 import jobs_service_pb2
from headrace.jobs.v1.jobs_service_pb2_grpc import (
    JobsServiceServicer,
    add_JobsServiceServicer_to_server,
)
from saas.auth.v1 import auth_service_pb2 as auth_pb
from saas.auth.v1.auth_service_pb2_grpc import AuthServiceStub
from saas.billing.v1.billing_service_pb2_grpc import BillingServiceStub
from saas.jobs.v1 import worker_support_pb2 as worker_pb
from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportStub

DEADLINE = 20.0
WORKER_TOKEN = "a worker's token"
ADA = "Ada@example.com"
PASSWORD = "seven purple umbrellas"


class Refusal:
    """A call that was refused, as its client sees it."""

    def __init__(self) -> None:
        self.error: grpc.aio.AioRpcError | None = None

    @property
    def text(self) -> str:
        """The sentence."""
        assert self.error is not None
        return self.error.details() or ""

    @property
    def reason(self) -> str:
        """The word for programs."""
        return str(self._detail(error_details_pb2.ErrorInfo()).reason)

    @property
    def retry_after(self) -> timedelta:
        """When to come back."""
        delay: timedelta = self._detail(error_details_pb2.RetryInfo()).retry_delay.ToTimedelta()
        return delay

    @property
    def fields(self) -> set[str]:
        """The fields that are called wrong."""
        return {violation.field for violation in self._detail(error_details_pb2.BadRequest()).field_violations}

    def _detail(self, into: Any) -> Any:
        untyped: Any = self.error
        status = rpc_status.from_call(untyped)
        for detail in status.details:
            if detail.Unpack(into):
                return into
        raise AssertionError(f"no {into.DESCRIPTOR.name} in {status}")


class Refused(Protocol):
    """Expects that the block's call is refused with this code, and with this reason where one is named."""

    def __call__(
        self, code: grpc.StatusCode, reason: str | None = None
    ) -> contextlib.AbstractContextManager[Refusal]: ...


@pytest.fixture
def refused() -> Refused:
    """See the protocol."""

    @contextlib.contextmanager
    def refused(code: grpc.StatusCode, reason: str | None = None) -> Iterator[Refusal]:
        refusal = Refusal()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            yield refusal
        refusal.error = caught.value
        assert caught.value.code() is code, caught.value.details()
        assert reason is None or refusal.reason == reason

    return refused


class Jobs(JobsServiceServicer):
    """A jobs service that accepts everything, the same key as the same job, and keeps what it got."""

    def __init__(self) -> None:
        self.accepted: dict[str, jobs_service_pb2.EnqueueRequest] = {}
        self.port = 0
        self._server: GrpcServer | None = None

    async def EnqueueBatch(  # noqa: N802
        self, request: jobs_service_pb2.EnqueueBatchRequest, _context: Any
    ) -> jobs_service_pb2.EnqueueBatchResponse:
        answer = jobs_service_pb2.EnqueueBatchResponse()
        for item in request.requests:
            duplicate = item.idempotency_key in self.accepted
            self.accepted[item.idempotency_key] = item
            answer.results.add().accepted.MergeFrom(
                jobs_service_pb2.EnqueueResponse(job_id=f"job-{item.idempotency_key}", duplicate=duplicate)
            )
        return answer

    def kinds(self) -> list[str]:
        """The kinds accepted, in their order, without the package."""
        return [item.payload.type_url.rpartition(".")[2] for item in self.accepted.values()]

    async def start(self) -> None:
        self._server = GrpcServer(address=f"127.0.0.1:{self.port}", name="jobs")
        self._server.add(add_JobsServiceServicer_to_server, self, "headrace.jobs.v1.JobsService")
        self.port = await self._server.start()

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.stop(0)
            self._server = None


class Api:
    """The running service, and what is needed to call it. The user is Ada unless a test names another."""

    email = ADA
    password = PASSWORD

    def __init__(self, settings: ApiSettings, jobs: Jobs, database: str) -> None:
        self.settings = settings
        self.jobs = jobs
        self._database = database
        self._job_ids = itertools.count(1)

    async def start(self, ending: contextlib.AsyncExitStack) -> None:
        stop = asyncio.Event()
        ports: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(serve(self.settings, stop, listening=ports.set_result))

        async def end() -> None:
            stop.set()
            await running

        ending.push_async_callback(end)
        either: set[asyncio.Future[Any]] = {running, ports}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        self.ports = ports.result()
        public = open_channel(f"127.0.0.1:{self.ports.grpc}")
        workers = open_channel(f"127.0.0.1:{self.ports.worker_grpc}", token=WORKER_TOKEN)
        ending.push_async_callback(public.close)
        ending.push_async_callback(workers.close)
        self.auth = AuthServiceStub(public)
        self.billing = BillingServiceStub(public)
        self.worker = WorkerSupportStub(workers)
        self.http = await ending.enter_async_context(
            httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.ports.http}", timeout=DEADLINE)
        )

    async def rows(self, statement: str, *arguments: Any) -> list[dict[str, Any]]:
        """Reads, or changes, the service's database."""
        async with await psycopg.AsyncConnection.connect(self._database, autocommit=True, row_factory=dict_row) as db:
            cursor = await db.execute(statement, arguments)
            return await cursor.fetchall() if cursor.description else []

    async def register(self, email: str = ADA, password: str = PASSWORD) -> None:
        await self.auth.Register(auth_pb.RegisterRequest(email=email, password=password))

    async def registered(self, email: str = ADA, password: str = PASSWORD) -> None:
        """Somebody who has registered and confirmed their address."""
        await self.register(email, password)
        await self.verify((await self.tokens("verify_email", email))[-1])

    async def verify(self, token: str) -> None:
        await self.auth.VerifyEmail(auth_pb.VerifyEmailRequest(token=token))

    async def login(self, email: str = ADA, password: str = PASSWORD) -> str:
        answer = await self.auth.Login(auth_pb.LoginRequest(email=email, password=password))
        return answer.access_token

    async def account(self, access_token: str) -> auth_pb.Account:
        metadata = (("authorization", f"Bearer {access_token}"),)
        return (await self.auth.GetAccount(auth_pb.GetAccountRequest(), metadata=metadata)).account

    async def request_reset(self, email: str = ADA) -> None:
        await self.auth.RequestPasswordReset(auth_pb.RequestPasswordResetRequest(email=email))

    async def resend(self, email: str = ADA) -> None:
        await self.auth.ResendVerification(auth_pb.ResendVerificationRequest(email=email))

    async def reset(self, token: str, password: str) -> None:
        await self.auth.ResetPassword(auth_pb.ResetPasswordRequest(token=token, new_password=password))

    async def mail_ids(self, template: str, email: str = ADA) -> list[str]:
        """The emails of a sort to an address, oldest first."""
        rows = await self.rows(
            "SELECT mails.id FROM mails JOIN users ON users.id = user_id"
            " WHERE template = %s AND email_key = %s ORDER BY mails.created_at",
            template,
            email.lower(),
        )
        return [str(row["id"]) for row in rows]

    async def render(self, mail_id: str, job_id: str | None = None, lease: int = 1) -> worker_pb.RenderMailResponse:
        """Requests an email's content as a worker does, each time as another job by default."""
        held = worker_pb.JobLease(job_id=job_id or f"job-{next(self._job_ids)}", lease=lease)
        return await self.worker.RenderMail(worker_pb.RenderMailRequest(mail_id=mail_id, lease=held))

    async def tokens(self, template: str, email: str = ADA) -> list[str]:
        """The tokens in the links of the emails of a sort to an address, oldest first."""
        await self.rows("UPDATE mails SET reserved_until = now()")
        letters = [await self.render(mail_id) for mail_id in await self.mail_ids(template, email)]
        return [match[1] for letter in letters if (match := re.search(r"token=(\S+)", letter.mail.text))]


@pytest.fixture
def api_environment(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ApiSettings]:
    """Makes settings the way the program does: from the environment."""

    def settings(**variables: str) -> ApiSettings:
        pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        defaults = {
            "API_GRPC_ADDRESS": "127.0.0.1:0",
            "API_WORKER_GRPC_ADDRESS": "127.0.0.1:0",
            "API_HTTP_ADDRESS": "127.0.0.1:0",
            "API_DRAIN_TIMEOUT": "2s",
            "API_WORKER_TOKENS_SHA256": hashlib.sha256(WORKER_TOKEN.encode()).hexdigest(),
            "API_JOBS_TARGET": "127.0.0.1:9",
            "API_JOBS_TOKEN": "the-apis-token",
            "API_LINK_KEYS": f"k1:{base64.b64encode(os.urandom(32)).decode()}",
            "API_ACCESS_TOKEN_KEY": pem.decode(),
            "API_PUBLIC_URL": "https://app.example.com",
            "API_PRODUCT_NAME": "Headrace",
            "API_MAIL_FROM": "Headrace <hello@headrace.example>",
            "API_MAIL_COOLDOWN": "1ms",
            "STRIPE_SECRET_KEY": "sk_test_1",
            "STRIPE_WEBHOOK_SECRETS": "whsec_1",
            "STRIPE_PRICES": "price_1=pro",
        }
        for name, value in {**defaults, **variables}.items():
            monkeypatch.setenv(name, value)
        return load(ApiSettings)

    return settings


@pytest.fixture(scope="session")
def migrated_template(postgres: Any) -> Iterator[str]:
    """A database with the newest schema, as a template; migrating each database would take longer than the tests."""
    name = f"template_{uuid4().hex}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name}")
        migrate.up(postgres.dsn(name))
        yield name
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
def api_database(postgres: Any, migrated_template: str) -> Iterator[str]:
    """The URL of a database of the service, empty."""
    name = f"api_{uuid4().hex}"
    with psycopg.connect(postgres.dsn(), autocommit=True) as admin:
        admin.execute(f"create database {name} template {migrated_template}")
        yield postgres.dsn(name)
        admin.execute(f"drop database {name} with (force)")


@pytest.fixture
async def jobs() -> AsyncIterator[Jobs]:
    """A jobs service, running; `stop` and `start` it."""
    jobs = Jobs()  # type: ignore[abstract]  # the relay calls EnqueueBatch alone
    await jobs.start()
    yield jobs
    await jobs.stop()


class StartApi(Protocol):
    """Starts the service, with other settings where they are named."""

    async def __call__(self, **variables: str) -> Api: ...


@pytest.fixture
async def start_api(
    api_database: str, jobs: Jobs, api_environment: Callable[..., ApiSettings]
) -> AsyncIterator[StartApi]:
    """Starts the service, with other settings where they are named."""
    async with contextlib.AsyncExitStack() as ending:

        async def start(**variables: str) -> Api:
            own = {"API_DATABASE_URL": api_database, "API_JOBS_TARGET": f"127.0.0.1:{jobs.port}"}
            settings = api_environment(**{**own, **variables})
            api = Api(settings, jobs, settings.api_database_url.get_secret_value())
            await api.start(ending)
            return api

        yield start


@pytest.fixture
async def api(start_api: StartApi) -> Api:
    """The service, running."""
    return await start_api()


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """The spans that ended during the test."""
    provider = trace.get_tracer_provider()
    if not isinstance(provider, TracerProvider):
        provider = TracerProvider()
        trace.set_tracer_provider(provider)
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield exporter
    exporter.shutdown()
