"""The product's handlers, one for each kind of job."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from headrace.queue import Handlers, Kinds
from saas.jobs.v1 import kinds_pb2
from saas_worker.handlers.failures import with_outcomes
from saas_worker.handlers.mail import SendMail
from saas_worker.handlers.reconcile import Reconcile
from saas_worker.handlers.webhook import ApplyWebhook
from saas_worker.outbound.smtp import MailSender
from saas_worker.outbound.stripe import StripeReader

if TYPE_CHECKING:  # the generated code defines this class in its type stubs only
    from saas.jobs.v1.worker_support_pb2_grpc import WorkerSupportAsyncStub


def build_handlers(
    *,
    api: WorkerSupportAsyncStub,
    sender: MailSender,
    stripe: StripeReader,
    reconcile_every: timedelta,
) -> Handlers:
    """Registers a handler for every kind in saas/jobs/v1/kinds.proto."""
    handlers = Handlers(Kinds.of_file(kinds_pb2.DESCRIPTOR))
    send_mail = with_outcomes(SendMail(api, sender))
    handlers.add(kinds_pb2.SendVerificationEmail, send_mail)
    handlers.add(kinds_pb2.SendPasswordResetEmail, send_mail)
    handlers.add(kinds_pb2.SendNotificationEmail, send_mail)
    handlers.add(kinds_pb2.ProcessStripeWebhook, with_outcomes(ApplyWebhook(api, stripe)))
    handlers.add(kinds_pb2.ReconcileStripe, with_outcomes(Reconcile(api, stripe, every=reconcile_every)))
    return handlers
