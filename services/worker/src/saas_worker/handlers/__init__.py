"""The product's handlers: what is done for each kind of job."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.queue import Handlers, Kinds
from jobs_service.handlers.mail import SendMail
from jobs_service.handlers.outcomes import outcomes
from jobs_service.handlers.reconcile import Reconcile
from jobs_service.handlers.webhook import ApplyWebhook
from jobs_service.mail_sender import MailSender
from jobs_service.stripe_reader import StripeReader
from saas.jobs.v1 import kinds_pb2

if TYPE_CHECKING:  # the generated code has this class in its types only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub

MAIL_KINDS = (
    kinds_pb2.SendVerificationEmail,
    kinds_pb2.SendPasswordResetEmail,
    kinds_pb2.SendNotificationEmail,
)


def build_handlers(
    kinds: Kinds,
    *,
    api: WorkerSupportAsyncStub,
    sender: MailSender,
    stripe: StripeReader,
    reconcile_every: timedelta,
) -> Handlers:
    """Puts a handler to every kind."""
    handlers = Handlers(kinds)
    send_mail = outcomes(SendMail(api, sender))
    handlers.add(kinds_pb2.SendVerificationEmail, send_mail)
    handlers.add(kinds_pb2.SendPasswordResetEmail, send_mail)
    handlers.add(kinds_pb2.SendNotificationEmail, send_mail)
    handlers.add(kinds_pb2.ProcessStripeWebhook, outcomes(ApplyWebhook(api, stripe)))
    handlers.add(kinds_pb2.ReconcileStripe, outcomes(Reconcile(api, stripe, every=reconcile_every)))
    return handlers
