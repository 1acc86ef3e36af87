"""What the jobs worker runs for the product: `JOBS_HANDLERS=saas_worker.program:handlers`."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from headrace.chassis.rpc.client import CarriedContext, open_channel
from headrace.chassis.settings import load
from headrace.chassis.tls.certificates import require_usable
from headrace.queue import Handlers, Periodic
from saas.jobs.v1.kinds_pb2 import ReconcileStripe
from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportStub
from saas_worker.handlers import build_handlers
from saas_worker.outbound.smtp import MailSender
from saas_worker.outbound.stripe import StripeReader
from saas_worker.settings import SaasWorkerSettings


class Product(NamedTuple):
    """What the worker runs."""

    handlers: Handlers
    periodic_jobs: Sequence[Periodic]


@asynccontextmanager
async def handlers() -> AsyncIterator[Product]:
    """Opens the clients of the api, the SMTP server and Stripe while the worker runs.

    Raises:
        SystemExit: A setting is invalid; the text is on stderr, the exit code is 2.
    """
    settings = load(SaasWorkerSettings)
    require_usable("JOBS_API_TLS_*", settings.api_tls)
    async with AsyncExitStack() as stack:
        channel = open_channel(
            settings.jobs_api_target,
            token=settings.jobs_api_token.get_secret_value(),
            tls=settings.api_tls,
            # A killed worker never writes the span of its call, but the rescuer writes that of the attempt.
            carried=CarriedContext.CALLER,
        )
        stack.push_async_callback(channel.close)
        stripe = StripeReader(settings.stripe_secret_key.get_secret_value(), base=settings.stripe_api_base)
        stack.push_async_callback(stripe.close)
        yield Product(
            handlers=build_handlers(
                api=WorkerSupportStub(channel),
                sender=MailSender(settings.mail_server, timeout=settings.smtp_timeout),
                stripe=stripe,
                reconcile_every=settings.jobs_reconcile_every,
            ),
            periodic_jobs=[
                Periodic("reconcile-stripe", every=settings.jobs_reconcile_every, payload=ReconcileStripe())
            ],
        )
