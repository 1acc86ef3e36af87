"""Billing's parts for the server's listeners."""

from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncSession
from starlette.routing import Route

from api_service.auth.authentication import Authenticator
from api_service.auth.models import User
from api_service.billing.checkout import Checkouts
from api_service.billing.entitlements import read_entitlements
from api_service.billing.event_applier import EventApplier
from api_service.billing.inbox import EventFilter, Inbox
from api_service.billing.notices import Notices
from api_service.billing.requeue import Requeue
from api_service.billing.rpc import BillingServicer
from api_service.billing.stripe_api import StripeApi
from api_service.billing.webhook import StripeWebhook
from api_service.billing.worker_calls import StripeWorkerCalls
from api_service.database import Database
from api_service.mail.submission import MailSubmission
from api_service.settings import ApiSettings
from headrace.outbox import Outbox
from saas.auth.v1 import auth_service_pb2

if TYPE_CHECKING:
    from headrace.jobs.v1.jobs_service_pb2_grpc import JobsServiceAsyncStub


class Billing:
    """Billing as a whole.

    Attributes:
        servicer: Returns BillingService.
        support: Returns WorkerSupport's calls about Stripe.
    """

    def __init__(
        self,
        settings: ApiSettings,
        *,
        database: Database,
        access: Authenticator,
        mail_submission: MailSubmission,
        outbox: Outbox,
        jobs: "JobsServiceAsyncStub",
    ) -> None:
        self._prices = settings.stripe_prices
        self._grace = settings.stripe_past_due_grace
        self._stripe = StripeApi(settings.stripe_secret_key.get_secret_value(), api_base=settings.stripe_api_base)
        inbox = Inbox(outbox)
        filter_ = EventFilter(livemode=settings.stripe_livemode)
        self._door = StripeWebhook(
            database,
            inbox,
            secrets=[secret.get_secret_value() for secret in settings.stripe_webhook_secrets],
            filter_=filter_,
        )
        checkouts = Checkouts(
            database,
            self._stripe.client,
            self._prices,
            success_url=f"{settings.api_public_url}/checkout/complete",
            cancel_url=f"{settings.api_public_url}/checkout/cancelled",
        )
        self.servicer = BillingServicer(database, access, checkouts)
        self.support = StripeWorkerCalls(
            database,
            inbox,
            EventApplier(Notices(mail_submission), self._prices),
            Requeue(database, inbox, outbox, jobs),
            filter_,
        )

    def routes(self) -> list[Route]:
        """The endpoint of Stripe's webhooks."""
        return self._door.routes()

    async def add_to_account(self, session: AsyncSession, user: User, account: auth_service_pb2.Account) -> None:
        """Fills in an account's subscription and entitlements."""
        standing = await read_entitlements(session, user.id, prices=self._prices, grace=self._grace)
        account.subscription_status = standing.subscription_status
        account.entitlements.extend(standing.entitlements)

    async def close(self) -> None:
        """Closes its connections to Stripe."""
        await self._stripe.close()
