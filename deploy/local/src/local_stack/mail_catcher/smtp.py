"""The catcher's SMTP side: aiosmtpd around the mailbox.

aiosmtpd cancels the running command when the peer hangs up, and that is what makes a mail whose sender was killed
count as abandoned.
"""

import asyncio

from aiosmtpd.smtp import SMTP, Envelope, Session

from local_stack.mail_catcher.mailbox import Mailbox


class SmtpDoor:
    """What aiosmtpd calls for each command; every command but DATA is left to its defaults."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: ARG002, N802
        """Takes the mail, and answers when it is in the box."""
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        mail = await self._mailbox.receive(envelope.mail_from or "", envelope.rcpt_tos, raw)
        return f"250 2.0.0 Taken as mail {mail.id}"


async def serve_smtp(mailbox: Mailbox, host: str, port: int) -> asyncio.Server:
    """Starts listening; port 0 means a free one."""
    loop = asyncio.get_running_loop()
    door = SmtpDoor(mailbox)
    return await loop.create_server(
        # A host name of its own: the default is a DNS look-up per connection.
        lambda: SMTP(door, loop=loop, hostname="mail-catcher.localhost", ident="Headrace mail catcher"),
        host,
        port,
    )
