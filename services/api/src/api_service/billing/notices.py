"""Mails about what happened at Stripe: one for each thing that happened, however many events tell of it."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.models import User
from api_service.billing.models import Notice
from api_service.mail.submission import MailSubmission


class Notices:
    """Posts notices."""

    def __init__(self, mail_submission: MailSubmission) -> None:
        self._mail_submission = mail_submission

    async def post_once(
        self, session: AsyncSession, user: User | None, template: str, *, about: str, parameters: Mapping[str, Any]
    ) -> None:
        """Posts a mail unless that has been done, in the caller's transaction, which holds the object's fence.

        Args:
            session: The caller's transaction.
            user: Who gets it; None where the object is no one's: then there is no mail, and none is noted down.
            template: The mail's template; what happened.
            about: The id of the object that it happened to.
            parameters: What the template needs; never a secret.
        """
        key = f"{template}:{about}"
        if user is None or await session.get(Notice, key) is not None:
            return
        mail = self._mail_submission.post(session, user, template, parameters=parameters)
        session.add(Notice(about=key, mail_id=mail.id))

    async def was_posted(self, session: AsyncSession, template: str, *, about: str) -> bool:
        """Whether that mail has been posted."""
        return await session.get(Notice, f"{template}:{about}") is not None
