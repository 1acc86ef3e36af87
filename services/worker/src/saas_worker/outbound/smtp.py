"""Sends emails by SMTP, and separates final rejections from failures that a retry can fix.

Only a 5xx reply to this email's sender, recipient or content is final. A server that is unreachable, rejects the login
or drops the connection may work next time. The connection can break after the server has accepted an email and before
its 250 arrives, so an email can be delivered twice, with the same Message-ID.
"""

import asyncio
import contextlib
import ssl
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from email import policy
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime

import aiosmtplib

from saas.jobs.v1.worker_support_pb2 import RenderedMail
from saas_worker.outbound.span import client_span

_QUIT_SECONDS = 1.0
"""How long to wait for the reply to QUIT; by then the email is sent."""


class MailRejectedError(Exception):
    """The server will never accept this email."""


class MailNotSentError(Exception):
    """The email was not sent this time, or it is unknown whether it was."""


@dataclass(frozen=True)
class MailServer:
    """The SMTP server.

    Attributes:
        host: Its name.
        port: Its port.
        starttls: Whether to encrypt the connection before the login.
        username: The user name; None to skip authentication.
        password: The password; left out of `repr`.
        idempotency_header: The header by which the server recognises a repeated email; None if it has none.
    """

    host: str
    port: int
    starttls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    idempotency_header: str | None = None


class MailSender:
    """Sends emails, each over a new connection.

    Args:
        server: The SMTP server.
        timeout: How long one email may take.
        tls: How STARTTLS verifies the server; None for the system's authorities.
    """

    def __init__(self, server: MailServer, *, timeout: timedelta, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._timeout = timeout.total_seconds()
        self._tls = tls or (ssl.create_default_context() if server.starttls else None)

    async def send(self, mail: RenderedMail, *, within: float) -> None:
        """Sends an email. When this returns, the server has accepted it.

        Args:
            mail: The email.
            within: How many seconds it may take; the sender's timeout applies as well.

        Raises:
            MailRejectedError: The server will never accept the email, or its headers can't be written.
            MailNotSentError: It was not sent this time, or the connection broke before the reply to its content.
        """
        sender, message = compose(mail, self._server.idempotency_header)
        attributes: dict[str, str | int] = {
            "network.protocol.name": "smtp",
            "server.address": self._server.host,
            "server.port": self._server.port,
        }
        client = self._client()
        try:
            with client_span("smtp send", attributes):
                try:
                    async with asyncio.timeout(max(0.0, min(self._timeout, within))):
                        await self._connect(client)
                        await self._transmit(client, sender, mail.to, message)
                except TimeoutError as error:
                    raise MailNotSentError(f"{self._where} took too long") from error
            # The email is sent: a failure of QUIT changes nothing.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_QUIT_SECONDS)
        finally:
            client.close()

    @property
    def _where(self) -> str:
        return f"{self._server.host}:{self._server.port}"

    def _client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(
            hostname=self._server.host,
            port=self._server.port,
            start_tls=self._server.starttls,
            tls_context=self._tls,
            username=self._server.username,
            password=self._server.password,
            timeout=self._timeout,
        )

    async def _connect(self, client: aiosmtplib.SMTP) -> None:
        try:
            await client.connect()
            if client.is_ehlo_or_helo_needed:
                await client.ehlo()
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailNotSentError(f"{self._where} is not usable: {_describe(error)}") from error

    async def _transmit(self, client: aiosmtplib.SMTP, sender: str, to: str, message: EmailMessage) -> None:
        try:
            await client.mail(sender)
            await client.rcpt(to)
            await client.data(message.as_bytes())
        except aiosmtplib.SMTPResponseException as error:
            if isinstance(error, aiosmtplib.SMTPDataError) and 200 <= error.code < 300:
                return
            # Servers often repeat the address, which must not appear in a job's errors.
            reply = f"{self._where} replied {error.code} {error.message}".replace(to, "<recipient>")
            raise (MailRejectedError if 500 <= error.code < 600 else MailNotSentError)(reply) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailNotSentError(f"{self._where} dropped the connection: {_describe(error)}") from error


def compose(mail: RenderedMail, idempotency_header: str | None = None) -> tuple[str, EmailMessage]:
    """Composes an email, identically on every attempt, and returns the envelope's sender and the message.

    The idempotency header, if there is one, gets the Message-ID without its brackets.

    Raises:
        MailRejectedError: An address, the subject or the Message-ID is not valid in a header.
    """
    message = EmailMessage(policy=policy.SMTP)
    try:
        message["From"] = getattr(mail, "from")
        message["To"] = Address(addr_spec=mail.to)
        message["Subject"] = mail.subject
        message["Message-ID"] = mail.message_id
        message["Date"] = format_datetime(mail.date.ToDatetime(tzinfo=UTC))
        message["Auto-Submitted"] = "auto-generated"
        if idempotency_header is not None:
            message[idempotency_header] = mail.message_id.strip("<>")
        sender = str(message["From"].addresses[0].addr_spec)
    except (ValueError, IndexError, MessageError) as error:
        raise MailRejectedError(f"the email's headers are invalid: {type(error).__name__}") from error
    if not (sender.isascii() and mail.to.isascii()):
        raise MailRejectedError("the email has an address that isn't ASCII, which SMTP can't send")
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
        # Random by default; derived from the Message-ID, it is the same on every attempt.
        message.set_boundary(f"=_{mail.message_id.strip('<>').replace('@', '.')}"[:70])
    return sender, message


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
