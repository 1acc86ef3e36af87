"""The catcher's state: the accepted emails, all transactions, and the delay of replies.

An email is in the mailbox if and only if its sender got the reply 250. If the sender disconnected during a delay, the
transaction is recorded as abandoned, and the email is not in the mailbox. Everything is in memory, on one event loop.
"""

import asyncio
import email
import email.policy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import EmailMessage
from enum import StrEnum


@dataclass(frozen=True)
class Mail:
    """An accepted email.

    Attributes:
        id: Counted from 1, in order of acceptance.
        received_at: When it was accepted.
        sender: The envelope's sender.
        recipients: The envelope's recipients.
        raw: The message's bytes, as received.
    """

    id: int
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    message: EmailMessage = field(repr=False, compare=False)

    def header(self, name: str) -> str:
        """Returns a header, decoded; empty if the email has none with that name."""
        return str(self.message.get(name, ""))

    def body(self, subtype: str) -> str:
        """Returns the body of type ``text/<subtype>`` ("plain" or "html"); empty if the email has none."""
        part = self.message.get_body((subtype,))
        if part is None:
            return ""
        try:
            return str(part.get_content())
        except LookupError:  # a character set that Python doesn't know
            return bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace")


class Outcome(StrEnum):
    """How a transaction ended."""

    HELD = "held"
    """Its reply is delayed."""
    ACCEPTED = "accepted"
    """It got the reply 250, and the email is in the mailbox."""
    ABANDONED = "abandoned"
    """Its sender disconnected before the reply; the email was not accepted."""


@dataclass
class Transaction:
    """One email that a sender has transmitted, with any outcome. Mutable: the outcome is set later."""

    id: int
    started_at: datetime
    recipients: tuple[str, ...]
    message_id: str
    outcome: Outcome
    mail_id: int | None = None


@dataclass(frozen=True)
class Hold:
    """Which replies are delayed, and for how long.

    Attributes:
        seconds: How long a reply is delayed at most.
        count: How many more emails it applies to.
        to: Only emails to this address; empty means any.
    """

    seconds: float
    count: int
    to: str


class Mailbox:
    """The emails, the transactions, and the delay of replies."""

    def __init__(self, *, capacity: int = 10_000) -> None:
        self._capacity = capacity
        self._mails: dict[int, Mail] = {}
        self._ledger: list[Transaction] = []
        self._taken = 0
        self._hold: Hold | None = None
        self._release = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def ledger(self) -> list[Transaction]:
        """All transactions, oldest first."""
        return list(self._ledger)

    @property
    def newest_id(self) -> int:
        """The id of the latest email; 0 before the first."""
        return self._taken

    def mail(self, mail_id: int) -> Mail | None:
        """Returns one email."""
        return self._mails.get(mail_id)

    def mails(self, *, to: str = "", after: int = 0) -> list[Mail]:
        """Returns the emails to an address (empty for any) with an id above ``after``, oldest first."""
        return [mail for mail in self._mails.values() if mail.id > after and (not to or addressed(to, mail.recipients))]

    async def receive(self, sender: str, recipients: Iterable[str], raw: bytes) -> Mail:
        """Accepts an email, after the delay if there is one.

        Cancel this when the sender disconnects: the email is then not accepted.
        """
        message = email.message_from_bytes(raw, EmailMessage, policy=email.policy.default)
        transaction = Transaction(
            id=len(self._ledger) + 1,
            started_at=datetime.now(UTC),
            recipients=tuple(recipients),
            message_id=str(message.get("Message-ID", "")).strip(),
            outcome=Outcome.HELD,
        )
        self._ledger.append(transaction)
        try:
            await self._held_back(transaction)
        except asyncio.CancelledError:
            transaction.outcome = Outcome.ABANDONED
            self._announce()
            raise
        self._taken += 1
        mail = Mail(self._taken, datetime.now(UTC), sender, transaction.recipients, raw, message)
        self._mails[mail.id] = mail
        if len(self._mails) > self._capacity:
            del self._mails[next(iter(self._mails))]
        transaction.outcome, transaction.mail_id = Outcome.ACCEPTED, mail.id
        self._announce()
        return mail

    async def wait_until(self, condition: Callable[[], bool], *, seconds: float) -> bool:
        """Waits for a condition of the mailbox, up to a time limit. Returns whether it did."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def hold(self, hold: Hold) -> None:
        """Delays the replies to the next emails."""
        self._hold = hold

    def release(self) -> None:
        """Sends all delayed replies, and delays no more."""
        self._hold = None
        self._release.set()
        self._release = asyncio.Event()

    def clear(self) -> None:
        """Deletes the emails, but not the transactions."""
        self._mails.clear()

    async def _held_back(self, transaction: Transaction) -> None:
        hold = self._hold
        if hold is None or (hold.to and not addressed(hold.to, transaction.recipients)):
            return
        self._hold = Hold(hold.seconds, hold.count - 1, hold.to) if hold.count > 1 else None
        release = self._release
        self._announce()
        try:
            async with asyncio.timeout(hold.seconds):
                await release.wait()
        except TimeoutError:
            return

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def addressed(to: str, recipients: Iterable[str]) -> bool:
    """Returns whether an address is among the recipients, ignoring case."""
    return to.casefold() in (recipient.casefold() for recipient in recipients)
