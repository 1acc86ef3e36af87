"""The catcher's SMTP server: aiosmtpd with the mailbox.

aiosmtpd cancels the current command when the sender disconnects. So an email whose sender was killed is recorded as
abandoned.
"""

import asyncio

from aiosmtpd.smtp import SMTP, Envelope, Session

from local_stack.mail_catcher.mailbox import Mailbox


class SmtpHandler:
    """What aiosmtpd calls for each command; it handles all commands except DATA by default."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        """Accepts the email, and replies when it is in the mailbox."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        mail = await self._mailbox.receive(envelope.mail_from or "", envelope.rcpt_tos, raw)
        return f"250 2.0.0 Accepted as email {mail.id}"


async def serve_smtp(mailbox: Mailbox, host: str, port: int) -> asyncio.Server:
    """Starts listening; port 0 for a free one."""
    loop = asyncio.get_running_loop()
    handler = SmtpHandler(mailbox)
    return await loop.create_server(
        # A fixed host name: the default is a DNS look-up for each connection.
        lambda: SMTP(handler, loop=loop, hostname="mail-catcher.localhost", ident="Headrace mail catcher"),
        host,
        port,
    )
