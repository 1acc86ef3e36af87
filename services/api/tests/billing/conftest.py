"""The running api service with a fake Stripe; the jobs service is down unless a test starts one."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

import grpc.aio
import httpx
import psycopg
import pytest
import structlog
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from eventually import Eventually
from psycopg.rows import dict_row
from structlog.typing import Processor

from api_service import migrate
from api_service.auth.access_tokens import AccessTokens
from api_service.server import Ports, serve
from api_service.settings import ApiSettings
from fake_stripe.app import Double
from fake_stripe.sender import sign
from fake_stripe.server import serving
from headrace.chassis.rpc.client import open_channel
from headrace.chassis.rpc.tokens import token_hash
from saas.auth.v1 import auth_service_pb2, auth_service_pb2_grpc
from saas.billing.v1 import billing_service_pb2, billing_service_pb2_grpc
from saas.jobs.v1 import worker_support_pb2 as support_pb
from saas.jobs.v1 import worker_support_pb2_grpc
from saas_worker.outbound.stripe import StripeReader

SECRETS = ("whsec_new", "whsec_old")
PRICE = "price_pro_monthly"
STRIPE_KEY = "sk_test_billing"
_WORKER_TOKEN = "a-worker"


@dataclass
class StripeAccount:
    """The stand-in: the account itself, and what a worker reads from it."""

    double: Double
    url: str
    reader: StripeReader

    def pay(self, session_id: str) -> str:
        """Pays a checkout and returns the subscription's id."""
        return str(self.double.shop.pay(session_id)["subscription"])

    def events(self, kind: str) -> list[dict[str, Any]]:
        """What happened of a type, oldest first."""
        return [event for event in self.double.store.all("event") if event["type"] == kind]

    def calls(self, method: str, path: str) -> int:
        """How many calls of the API came in."""
        return sum((entry.method, entry.path) == (method, path) for entry in self.double.api.ledger)


class Api:
    """The service from outside: its clients' stubs, its web address, and its tables."""

    def __init__(self, settings: ApiSettings, ports: Ports, ending: AsyncExitStack) -> None:
        self.settings = settings
        self.webhook_url = f"http://127.0.0.1:{ports.http}/stripe/webhook"
        self._tokens = AccessTokens(settings.api_access_token_key)
        self.http = httpx.AsyncClient()
        ending.push_async_callback(self.http.aclose)
        # A plain channel: ours would call again on UNAVAILABLE, and a test means one call.
        public = grpc.aio.insecure_channel(f"127.0.0.1:{ports.grpc}")
        workers = open_channel(f"127.0.0.1:{ports.worker_grpc}", token=_WORKER_TOKEN)
        ending.push_async_callback(public.close)
        ending.push_async_callback(workers.close)
        self.billing = billing_service_pb2_grpc.BillingServiceStub(public)
        self.accounts = auth_service_pb2_grpc.AuthServiceStub(public)
        self.support = worker_support_pb2_grpc.WorkerSupportStub(workers)

    async def sql(self, query: str, *values: Any) -> list[dict[str, Any]]:
        """Runs a statement on the service's database."""
        dsn = self.settings.api_database_url.get_secret_value()
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True, row_factory=dict_row) as connection:
            cursor = await connection.execute(query.encode(), values)
            return await cursor.fetchall() if cursor.description else []

    async def admin(self, statement: str) -> None:
        """Runs a statement on the server, outside the service's database."""
        dsn = self.settings.api_database_url.get_secret_value().rpartition("/")[0] + "/postgres"
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as connection:
            await connection.execute(statement.encode())

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """A transaction that is separate from the service's."""
        async with await psycopg.AsyncConnection.connect(
            self.settings.api_database_url.get_secret_value()
        ) as connection:
            yield connection

    async def until(self, query: str) -> None:
        """Waits until a query finds something."""
        await Eventually()(lambda: self.sql(query))

    async def user(self) -> "User":
        """A user who is logged in."""
        user_id, email = uuid4(), f"user-{uuid4().hex}@example.com"
        await self.sql(
            "INSERT INTO users (id, email, email_key, email_verified_at) VALUES (%s, %s, %s, now())",
            user_id,
            email,
            email,
        )
        return User(self, user_id, email, self._tokens.issue(user_id, 0)[0])

    async def receive(self, event: dict[str, Any]) -> UUID:
        """Has the webhook of an event come in, and returns its place in the inbox."""
        body = json.dumps(event)
        header = {"stripe-signature": sign(body, SECRETS[0], int(time.time()))}
        answer = await self.http.post(self.webhook_url, content=body, headers=header)
        assert answer.status_code == 200, answer.text
        [row] = await self.sql("SELECT id FROM stripe_inbox WHERE event_id = %s", event["id"])
        return UUID(str(row["id"]))

    async def mails(self) -> list[str]:
        """The templates of the queued emails, oldest first."""
        return [row["template"] for row in await self.sql("SELECT template FROM mails ORDER BY created_at")]


@dataclass
class User:
    """A user who is logged in."""

    api: Api
    id: UUID
    email: str
    token: str

    @property
    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (("authorization", f"Bearer {self.token}"),)

    async def check_out(self, client_key: str = "one", price_id: str = PRICE) -> Any:
        """Calls CreateCheckoutSession."""
        request = billing_service_pb2.CreateCheckoutSessionRequest(price_id=price_id, client_key=client_key)
        return await self.api.billing.CreateCheckoutSession(request, metadata=self._metadata)

    async def account(self) -> Any:
        """Calls GetAccount."""
        answer = await self.api.accounts.GetAccount(auth_service_pb2.GetAccountRequest(), metadata=self._metadata)
        return answer.account


class Worker:
    """What a worker does for one event, step by step."""

    def __init__(self, api: Api, account: StripeAccount) -> None:
        self._api = api
        self._account = account

    async def fetch(self, inbox_id: UUID) -> support_pb.ApplyStripeEventRequest:
        """Draws a number, then fetches the object."""
        drawn = await self._api.support.DrawFetchSequence(support_pb.DrawFetchSequenceRequest(inbox_id=str(inbox_id)))
        fetched = await self._account.reader.fetch(drawn.object_type, drawn.object_id)
        return support_pb.ApplyStripeEventRequest(
            inbox_id=str(inbox_id), sequence=drawn.sequence, object_json=fetched or b""
        )

    async def apply(self, fetched: support_pb.ApplyStripeEventRequest) -> bool:
        """Has it applied; returns whether that changed anything."""
        return bool((await self._api.support.ApplyStripeEvent(fetched)).applied)

    async def process(self, inbox_id: UUID) -> bool:
        """Both."""
        return await self.apply(await self.fetch(inbox_id))

    async def process_all(self) -> None:
        """Processes every event that waits, in no order worth mentioning."""
        for row in await self._api.sql("SELECT id FROM stripe_inbox WHERE state = 'received'"):
            await self.process(row["id"])


def _signing_key() -> str:
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem.decode()


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Logs tracebacks in plain text: structlog's default paints them, which blocks the event loop for seconds."""
    before = structlog.get_config()
    plain: list[Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.format_exc_info,
        structlog.processors.KeyValueRenderer(key_order=["level", "event"]),
    ]
    structlog.configure(processors=plain)
    yield
    structlog.configure(**before)


@pytest.fixture
async def account() -> AsyncIterator[StripeAccount]:
    """A Stripe account of the test's own."""
    double = Double(webhook_secret=SECRETS[0])
    async with serving(double) as url:
        reader = StripeReader(STRIPE_KEY, base=url)
        yield StripeAccount(double, url, reader)
        await reader.close()


@pytest.fixture
def settings(database: str, account: StripeAccount) -> ApiSettings:
    """The service's settings; its database is migrated."""
    migrate.up(database)
    return ApiSettings.model_validate(
        {
            "api_database_url": database,
            "api_database_timeout": "2s",
            "api_grpc_address": "127.0.0.1:0",
            "api_worker_grpc_address": "127.0.0.1:0",
            "api_http_address": "127.0.0.1:0",
            "api_worker_tokens_sha256": token_hash(_WORKER_TOKEN),
            "api_jobs_target": "127.0.0.1:9",
            "api_jobs_token": "unused",
            "api_link_keys": "k1:" + base64.b64encode(bytes(32)).decode(),
            "api_access_token_key": _signing_key(),
            "api_public_url": "http://shop.example",
            "api_mail_from": "Headrace <hello@example.com>",
            "stripe_secret_key": STRIPE_KEY,
            "stripe_api_base": account.url,
            "stripe_webhook_secrets": ",".join(SECRETS),
            "stripe_prices": f"{PRICE}=pro,price_team_monthly=team",
        }
    )


class Running(Protocol):
    """Runs the service from its start to its end, with settings that the test wants otherwise."""

    def __call__(self, settings: ApiSettings, **changes: Any) -> AbstractAsyncContextManager[Api]: ...


@pytest.fixture
def running() -> Running:
    """How a test runs the service itself."""
    return _running


@asynccontextmanager
async def _running(settings: ApiSettings, **changes: Any) -> AsyncIterator[Api]:
    stop = asyncio.Event()
    ports: asyncio.Future[Ports] = asyncio.get_running_loop().create_future()
    changed = ApiSettings.model_validate(settings.model_dump() | changes)
    async with AsyncExitStack() as ending:
        service = asyncio.create_task(serve(changed, stop, listening=ports.set_result))
        either: set[asyncio.Future[Any]] = {service, ports}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if service.done():
            service.result()
        try:
            yield Api(changed, ports.result(), ending)
        finally:
            stop.set()
            await service


@pytest.fixture
async def api(settings: ApiSettings, account: StripeAccount, running: Running) -> AsyncIterator[Api]:
    """The service that the Stripe account sends its webhooks to."""
    async with running(settings) as api:
        account.double.sender.url = api.webhook_url
        yield api


@pytest.fixture
def worker(api: Api, account: StripeAccount) -> Worker:
    """A worker."""
    return Worker(api, account)
