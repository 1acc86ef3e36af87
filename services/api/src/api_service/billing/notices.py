"""Emails about what happened at Stripe: one for each thing, however many events report it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.models import User
from api_service.billing.models import Notice
from api_service.mail.submission import MailSubmission


class Notices:
    """Queues notices."""

    def __init__(self, mail_submission: MailSubmission) -> None:
        self._mail_submission = mail_submission

    async def post_once(
        self, session: AsyncSession, user: User | None, template: str, *, about: str, parameters: Mapping[str, Any]
    ) -> None:
        """Queues an email unless that has been done, in the caller's transaction, which holds the object's fence.

        Args:
            session: The caller's transaction.
            user: The recipient; if None, because the object has no user, no email is queued or recorded.
            template: The email's template, which says what happened.
            about: The id of the object.
            parameters: What the template needs; never a secret.
        """
        key = f"{template}:{about}"
        if user is None or await session.get(Notice, key) is not None:
            return
        mail = self._mail_submission.post(session, user, template, parameters=parameters)
        session.add(Notice(about=key, mail_id=mail.id))

    async def was_posted(self, session: AsyncSession, template: str, *, about: str) -> bool:
        """Returns whether that email has been queued."""
        return await session.get(Notice, f"{template}:{about}") is not None
