"""Queues an email in the caller's transaction, so that it is sent if and only if that commits."""

from __future__ import annotations

from collections.abc import Mapping
from email.utils import parseaddr
from typing import Any
from uuid import uuid4

from google.protobuf.message import Message
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.models import OneTimeToken, User
from api_service.mail.models import Mail
from api_service.mail.rendering import has_template
from headrace.outbox import Outbox
from saas.jobs.v1 import kinds_pb2

# Every other template is a notice of something that has already happened.
_KINDS: dict[str, type[Message]] = {
    "verify_email": kinds_pb2.SendVerificationEmail,
    "already_registered": kinds_pb2.SendVerificationEmail,
    "reset_password": kinds_pb2.SendPasswordResetEmail,
}


class MailSubmission:
    """Writes emails to send, and the jobs that send them."""

    def __init__(self, outbox: Outbox, *, sender: str) -> None:
        """`sender` is API_MAIL_FROM; Message-IDs use its domain."""
        self._outbox = outbox
        self._domain = parseaddr(sender)[1].rpartition("@")[2]

    def post(
        self,
        session: AsyncSession,
        user: User,
        template: str,
        *,
        token: OneTimeToken | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Mail:
        """Adds an email to the user, and its job; both are written with the session's next flush.

        Args:
            session: The caller's transaction.
            user: The recipient, in whose locale it is written.
            template: A file's name in mail/templates/en, without its ending.
            token: The token of its link, if it has one.
            parameters: The template's other values; never a secret. Stored as JSON.

        Raises:
            LookupError: There is no such template.
        """
        if not has_template(template):
            raise LookupError(f"there is no mail template {template!r} in api_service/mail/templates/en")
        mail_id = uuid4()
        mail = Mail(
            id=mail_id,
            user_id=user.id,
            template=template,
            locale=user.locale,
            token_id=token.id if token else None,
            parameters=dict(parameters or {}),
            message_id=f"<{mail_id}@{self._domain}>",
        )
        session.add(mail)
        kind: Any = _KINDS.get(template, kinds_pb2.SendNotificationEmail)
        self._outbox.add(session, kind(mail_id=str(mail_id)))
        return mail
