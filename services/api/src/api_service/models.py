"""Every model of this service, imported so that the metadata is complete."""

from api_service.auth.models import MailCooldown, OneTimeToken, User
from api_service.db import metadata
from api_service.mail.models import Mail
from api_service.outbox import outbox

__all__ = ["Mail", "MailCooldown", "OneTimeToken", "User", "metadata", "outbox"]
