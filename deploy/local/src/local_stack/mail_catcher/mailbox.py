"""What the catcher knows: the mails it took, the ledger of every transaction, and the switch that holds answers.

A mail is in the box if and only if its sender was answered 250: a mail whose sender went away while the answer was
held is in the ledger as abandoned, and nowhere else. Everything lives in one event loop and in memory.
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
    """A mail that was taken.

    Attributes:
        id: BoundedCount from 1, in the order of taking.
        received_at: When it was taken.
        sender: The envelope's sender.
        recipients: The envelope's recipients.
        raw: The message's bytes, as they came.
    """

    id: int
    received_at: datetime
    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    message: EmailMessage = field(repr=False, compare=False)

    def header(self, name: str) -> str:
        """Answers a header, decoded; empty where the mail has none of that name."""
        return str(self.message.get(name, ""))

    def body(self, subtype: str) -> str:
        """Answers the body of type ``text/<subtype>`` ("plain" or "html"); empty where the mail has none."""
        part = self.message.get_body((subtype,))
        if part is None:
            return ""
        try:
            return str(part.get_content())
        except LookupError:  # a charset that Python doesn't know
            return bytes(part.get_payload(decode=True) or b"").decode("utf-8", "replace")


class Outcome(StrEnum):
    """How a transaction ended."""

    HELD = "held"
    """Its answer is being held back."""
    ACCEPTED = "accepted"
    """It was answered 250, and the mail is in the box."""
    ABANDONED = "abandoned"
    """Its sender went away before it was answered; the mail was not taken."""


@dataclass
class Transaction:
    """One mail that a sender handed over, however that ended. Mutable: its outcome comes later."""

    id: int
    started_at: datetime
    recipients: tuple[str, ...]
    message_id: str
    outcome: Outcome
    mail_id: int | None = None


@dataclass(frozen=True)
class Hold:
    """Which answers are held back, and how long.

    Attributes:
        seconds: How long an answer is held at most.
        count: How many more mails it is for.
        to: Only mails to this address; empty means any.
    """

    seconds: float
    count: int
    to: str


class Mailbox:
    """The mails, the ledger and the hold switch."""

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
        """Every transaction, oldest first."""
        return list(self._ledger)

    @property
    def newest_id(self) -> int:
        """The id of the mail taken last; 0 before the first."""
        return self._taken

    def mail(self, mail_id: int) -> Mail | None:
        """Answers one mail."""
        return self._mails.get(mail_id)

    def mails(self, *, to: str = "", after: int = 0) -> list[Mail]:
        """Answers the mails to an address (empty means any) with an id above ``after``, oldest first."""
        return [mail for mail in self._mails.values() if mail.id > after and (not to or addressed(to, mail.recipients))]

    async def receive(self, sender: str, recipients: Iterable[str], raw: bytes) -> Mail:
        """Takes a mail, after holding it back where the switch says so.

        Cancel this when the sender goes away: the mail is then not taken.
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
        """Waits for something about the box to come true, at most so long; answers whether it did."""
        try:
            async with asyncio.timeout(seconds):
                while not condition():
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def hold(self, hold: Hold) -> None:
        """Holds the answers to the coming mails."""
        self._hold = hold

    def release(self) -> None:
        """Answers all that is held, and holds no more."""
        self._hold = None
        self._release.set()
        self._release = asyncio.Event()

    def clear(self) -> None:
        """Throws the mails away; the ledger stays."""
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
    """Answers whether an address, in any case, is among the recipients."""
    return to.casefold() in (recipient.casefold() for recipient in recipients)
