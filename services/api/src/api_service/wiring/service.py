"""Assembles the service from its settings. Nothing listens or connects yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette

from api_service.auth import rpc as auth_rpc
from api_service.auth.access_tokens import AccessTokens
from api_service.auth.accounts import Accounts, Lifetimes
from api_service.auth.authentication import Authenticator
from api_service.auth.passwords import Passwords
from api_service.billing import rpc as billing_rpc
from api_service.database import Database
from api_service.mail.delivery import MailDelivery, MailSettings
from api_service.mail.submission import MailSubmission
from api_service.outbox import outbox
from api_service.rpc import worker_support
from api_service.rpc.errors import TRANSLATIONS
from api_service.settings import ApiSettings
from api_service.web.pages import Pages
from api_service.web.probes import Readiness
from api_service.web.tracing import HttpTracing
from api_service.wiring.billing import Billing
from headrace.chassis.http.server import HttpServer
from headrace.chassis.rpc.server import GrpcServer
from headrace.chassis.rpc.tokens import TokenInterceptor
from saas.auth.v1 import auth_service_pb2_grpc
from saas.billing.v1 import billing_service_pb2_grpc
from saas.jobs.v1 import worker_support_pb2_grpc

if TYPE_CHECKING:
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceAsyncStub


class Listeners:
    """The three listeners, over one database.

    Attributes:
        public: AuthService and BillingService.
        workers: WorkerSupport.
        http: Stripe's webhook, pages and probes.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        database: Database,
        passwords: Passwords,
        jobs: JobsServiceAsyncStub,
        readiness: Readiness,
    ) -> None:
        access_tokens = AccessTokens(settings.api_access_token_key, lifetime=settings.api_access_token_lifetime)
        access = Authenticator(access_tokens)
        mail_submission = MailSubmission(outbox, sender=settings.api_mail_from)
        accounts = Accounts(
            database,
            passwords=passwords,
            link_keys=settings.api_link_keys,
            access_tokens=access_tokens,
            mail_submission=mail_submission,
            lifetimes=Lifetimes(
                verification=settings.api_verification_lifetime,
                reset=settings.api_reset_lifetime,
                cooldown=settings.api_mail_cooldown,
            ),
        )
        self._billing = Billing(
            settings, database=database, access=access, mail_submission=mail_submission, outbox=outbox, jobs=jobs
        )
        self.public = _public_listener(
            settings, auth_rpc.AuthServicer(accounts, access, database, self._billing.add_to_account), self._billing
        )
        self.workers = _worker_listener(
            settings, MailDelivery(database, settings.api_link_keys, _sender(settings)), self._billing
        )
        pages = Pages(accounts, product=settings.api_product_name)
        app = Starlette(routes=[*pages.routes(), *self._billing.routes(), *readiness.routes()])
        app.router.redirect_slashes = False  # Stripe treats a redirect as a failure
        self.http = HttpServer(HttpTracing(app), settings.api_http_address)

    async def close(self) -> None:
        """Closes connections to Stripe."""
        await self._billing.close()


def _public_listener(settings: ApiSettings, auth: auth_rpc.AuthServicer, billing: Billing) -> GrpcServer:
    server = GrpcServer(address=settings.api_grpc_address, name="grpc", trust_callers=False, translations=TRANSLATIONS)
    server.add(auth_service_pb2_grpc.add_AuthServiceServicer_to_server, auth, auth_rpc.SERVICE)
    server.add(billing_service_pb2_grpc.add_BillingServiceServicer_to_server, billing.servicer, billing_rpc.SERVICE)
    return server


def _worker_listener(settings: ApiSettings, sending: MailDelivery, billing: Billing) -> GrpcServer:
    server = GrpcServer(
        address=settings.api_worker_grpc_address,
        name="worker-grpc",
        tls=settings.worker_grpc_tls,
        translations=TRANSLATIONS,
        interceptors=[TokenInterceptor({"worker": settings.api_worker_tokens_sha256})],
        max_receive_bytes=_PAGE_OF_EVENTS,
    )
    server.add(
        worker_support_pb2_grpc.add_WorkerSupportServicer_to_server,
        worker_support.WorkerSupportServicer(sending, billing.support),
        worker_support.SERVICE,
    )
    return server


# RecordStripeEvents carries up to 100 events, each as large as the webhook accepts.
_PAGE_OF_EVENTS = 32 * 1024 * 1024


def _sender(settings: ApiSettings) -> MailSettings:
    return MailSettings(
        address=settings.api_mail_from,
        product=settings.api_product_name,
        public_url=settings.api_public_url,
        reservation=settings.api_mail_reservation,
    )
