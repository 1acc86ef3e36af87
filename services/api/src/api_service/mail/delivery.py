"""Which job may send an email now, and the email's content: RenderMail and RecordMailSent.

SMTP delivers at least once, so an email has at most one sender at a time: it is reserved for the job and lease that
asked last. An email that was recorded as sent is never rendered again.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.link_tokens import LinkKeys, Purpose
from api_service.auth.models import OneTimeToken, User
from api_service.database import Database
from api_service.mail.models import Mail
from api_service.mail.rendering import render
from saas.jobs.v1 import worker_support_pb2 as pb

log = structlog.get_logger()

_PATHS = {Purpose.VERIFY_EMAIL: "/verify", Purpose.RESET_PASSWORD: "/reset"}


class MailUnknownError(LookupError):
    """There is no email with that id."""

    def __init__(self, mail_id: str) -> None:
        super().__init__(f"there is no email {mail_id}")


class MailReservedError(Exception):
    """Another job, or a later lease, may send the email now.

    Attributes:
        retry_after: When the reservation ends unless it is renewed.
    """

    def __init__(self, retry_after: timedelta) -> None:
        super().__init__("the email is being sent under another lease")
        self.retry_after = max(retry_after, timedelta(seconds=1))


class MailNotReservedError(Exception):
    """The email is not, or no longer, reserved for this lease."""

    def __init__(self) -> None:
        super().__init__("the email is not reserved for this lease; its outcome is ignored")


@dataclass(frozen=True, slots=True, kw_only=True)
class MailSettings:
    """The settings of all emails.

    Attributes:
        address: The From header.
        product: The product's name.
        public_url: The start of links, without a slash at the end.
        reservation: How long a job may take to send.
    """

    address: str
    product: str
    public_url: str
    reservation: timedelta


class MailDelivery:
    """The api's part of an email's job."""

    def __init__(self, database: Database, link_keys: LinkKeys, sender: MailSettings) -> None:
        self._database = database
        self._keys = link_keys
        self._sender = sender

    async def render(self, request: pb.RenderMailRequest) -> pb.RenderMailResponse:
        """Reserves the email for the requested lease and renders it, or returns that it was sent or must be dropped.

        Raises:
            MailUnknownError: There is no such email.
            MailReservedError: Another job has reserved it, or a later lease of this job has taken over.
            LinkKeyMissingError: The link's key is no longer in the settings.
            DatabaseUnavailableError: Retrying is safe.
        """
        async with self._database.transaction() as session:
            found = await _find(session, request.mail_id)
            mail, user, token, now = found
            if mail.sent_at is not None:
                answer = pb.RenderMailResponse()
                answer.already_sent_at.FromDatetime(mail.sent_at)
                return answer
            _refuse_other_sender(mail, request.lease, now)
            reason = _why_dropped(user, token, now)
            if reason is not None:
                log.info("mail dropped", mail_id=str(mail.id), template=mail.template, reason=reason)
                return pb.RenderMailResponse(dropped=reason)
            mail.reserved_job_id = request.lease.job_id
            mail.reserved_lease = request.lease.lease
            mail.reserved_until = now + self._sender.reservation
        return pb.RenderMailResponse(mail=self._write(mail, user, token))

    async def record_sent(self, request: pb.RecordMailSentRequest) -> pb.RecordMailSentResponse:
        """Records that the mail server has accepted the email. Repeating the call changes nothing.

        Raises:
            MailUnknownError: There is no such email.
            MailNotReservedError: Another lease holds the reservation.
            DatabaseUnavailableError: Retrying is safe.
        """
        async with self._database.transaction() as session:
            sent_at = await session.scalar(
                update(Mail)
                .where(
                    Mail.id == UUID(request.mail_id),
                    Mail.reserved_job_id == request.lease.job_id,
                    Mail.reserved_lease == request.lease.lease,
                )
                .values(sent_at=func.coalesce(Mail.sent_at, func.now()))
                .returning(Mail.sent_at)
            )
            if sent_at is None:
                if await session.get(Mail, UUID(request.mail_id)) is None:
                    raise MailUnknownError(request.mail_id)
                raise MailNotReservedError
        log.info("mail sent", mail_id=request.mail_id)
        answer = pb.RecordMailSentResponse()
        answer.sent_at.FromDatetime(sent_at)
        return answer

    def _write(self, mail: Mail, user: User, token: OneTimeToken | None) -> pb.RenderedMail:
        letter = render(
            mail.template,
            mail.locale,
            product=self._sender.product,
            address=user.email,
            link=self._link(token) if token else None,
            lifetime=token.expires_at - token.created_at if token else None,
            parameters=mail.parameters,
        )
        rendered = pb.RenderedMail(
            to=user.email,
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            message_id=mail.message_id,
        )
        setattr(rendered, "from", self._sender.address)  # a keyword of Python
        rendered.date.FromDatetime(mail.created_at)
        return rendered

    def _link(self, token: OneTimeToken) -> str:
        purpose = Purpose(token.purpose)
        return f"{self._sender.public_url}{_PATHS[purpose]}?token={self._keys.token(token.key_id, purpose, token.id)}"


async def _find(session: AsyncSession, mail_id: str) -> tuple[Mail, User, OneTimeToken | None, datetime]:
    """The locked email, its recipient, its link's token, and the database's time."""
    found = await session.execute(
        select(Mail, User, OneTimeToken, func.now())
        .join(User, User.id == Mail.user_id)
        .outerjoin(OneTimeToken, OneTimeToken.id == Mail.token_id)
        .where(Mail.id == UUID(mail_id))
        .with_for_update(of=Mail)
    )
    row = found.first()
    if row is None:
        raise MailUnknownError(mail_id)
    mail, user, token, now = row
    return mail, user, token, now


def _refuse_other_sender(mail: Mail, lease: pb.JobLease, now: datetime) -> None:
    if mail.reserved_job_id is None or mail.reserved_lease is None or mail.reserved_until is None:
        return
    # A later lease of the same job takes over: the engine has invalidated the earlier one.
    same_job = mail.reserved_job_id == lease.job_id
    if lease.lease < mail.reserved_lease if same_job else mail.reserved_until > now:
        raise MailReservedError(mail.reserved_until - now)


def _why_dropped(user: User, token: OneTimeToken | None, now: datetime) -> str | None:
    if token is None:
        return None
    if token.purpose == Purpose.VERIFY_EMAIL and user.email_verified_at is not None:
        return "the address is confirmed already"
    if token.used_at is not None:
        return "its link has been used"
    if token.superseded_at is not None:
        return "its link was superseded by a later one"
    if token.expires_at <= now:
        return "its link has expired"
    return None
