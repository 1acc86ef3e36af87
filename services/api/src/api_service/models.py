"""Every model of this service, imported so that the metadata is complete."""

from api_service.auth.models import MailCooldown, OneTimeToken, User
from api_service.billing.models import AppliedObject, Checkout, Customer, InboxEvent, Notice, Subscription
from api_service.database import metadata
from api_service.mail.models import Mail
from api_service.outbox import outbox

__all__ = [
    "AppliedObject",
    "Checkout",
    "Customer",
    "InboxEvent",
    "Mail",
    "MailCooldown",
    "Notice",
    "OneTimeToken",
    "Subscription",
    "User",
    "metadata",
    "outbox",
]
