"""Hands mails to the mail server by SMTP, and says precisely what an answer means.

Only the server's word about this very mail is final: a 5xx to its sender, recipient or content. A server that can't
be reached, doesn't let us in or breaks off may do better next time. Between the server's 250 and our knowledge of it
there is always a gap, so a mail can arrive twice, with the same Message-ID.
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

from jobs_service.client_span import client_span
from saas.jobs.v1.worker_support_pb2 import RenderedMail

_POLITE_GOODBYE = 1.0
"""Seconds that the server is given to answer QUIT; the mail is sent by then."""


class MailRejectedError(Exception):
    """The server will never take this mail."""


class MailNotSentError(Exception):
    """The mail was not sent this time, or nobody knows whether it was."""


@dataclass(frozen=True)
class MailServer:
    """The server that takes our mails.

    Attributes:
        host: Its name.
        port: Its port.
        starttls: Whether the connection has to be encrypted before anything is said.
        username: Whom to log in as; None for no login.
        password: The password; kept out of texts.
        idempotency_header: The header by which it knows a mail that it has taken before; None where it has none.
    """

    host: str
    port: int
    starttls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    idempotency_header: str | None = None


class MailSender:
    """Sends mails, each over a connection of its own.

    Args:
        server: Where to.
        timeout: How long one mail may take in all.
        tls: How STARTTLS verifies the server; None for the system's authorities.
    """

    def __init__(self, server: MailServer, *, timeout: timedelta, tls: ssl.SSLContext | None = None) -> None:
        self._server = server
        self._timeout = timeout.total_seconds()
        self._tls = tls or (ssl.create_default_context() if server.starttls else None)

    async def send(self, mail: RenderedMail, *, within: float) -> None:
        """Sends a mail. When this returns, the server has taken it.

        Args:
            mail: What to send.
            within: How many seconds there are; the sender's own time limit holds beside it.

        Raises:
            MailRejectedError: The server will never take it, or it can't be written as a mail.
            MailNotSentError: It was not sent this time; or the connection broke before the answer to its content.
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
                        await self._hand_over(client, sender, mail.to, message)
                except TimeoutError as error:
                    raise MailNotSentError(f"{self._where} took too long") from error
            # The mail is sent: how the server takes its leave changes nothing.
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):
                await client.quit(timeout=_POLITE_GOODBYE)
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
            raise MailNotSentError(f"{self._where} can't be used: {_told(error)}") from error

    async def _hand_over(self, client: aiosmtplib.SMTP, sender: str, to: str, message: EmailMessage) -> None:
        try:
            await client.mail(sender)
            await client.rcpt(to)
            await client.data(message.as_bytes())
        except aiosmtplib.SMTPResponseException as error:
            if isinstance(error, aiosmtplib.SMTPDataError) and 200 <= error.code < 300:
                return
            # A server likes to repeat the address, which has no place in a job's errors.
            told = f"{self._where} answered {error.code} {error.message}".replace(to, "<recipient>")
            raise (MailRejectedError if 500 <= error.code < 600 else MailNotSentError)(told) from error
        except (aiosmtplib.SMTPException, OSError) as error:
            raise MailNotSentError(f"{self._where} broke off: {_told(error)}") from error


def compose(mail: RenderedMail, idempotency_header: str | None = None) -> tuple[str, EmailMessage]:
    """Writes a mail, the same on every attempt, and answers its envelope's sender beside it.

    The Message-ID is the idempotency header's value as well, without its brackets.

    Raises:
        MailRejectedError: An address, the subject or the Message-ID can't stand in a header.
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
        raise MailRejectedError(f"the mail's headers can't be written: {type(error).__name__}") from error
    if not (sender.isascii() and mail.to.isascii()):
        raise MailRejectedError("an address that isn't ASCII can't be sent to")
    message.set_content(mail.text)
    if mail.html:
        message.add_alternative(mail.html, subtype="html")
        # A boundary is random by default; this one is as unchanging as the Message-ID it is made of.
        message.set_boundary(f"=_{mail.message_id.strip('<>').replace('@', '.')}"[:70])
    return sender, message


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
