"""The tables of billing: Stripe's events as received, a copy of Stripe's objects, and the requests to Stripe."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Sequence,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from api_service.database import Base, metadata

FETCH_SEQUENCE = Sequence("stripe_fetch_sequence", metadata=metadata, data_type=BigInteger)
"""The sequence of fetches. A number is drawn before its fetch, so a fetch with a higher number is later."""

RECEIVED, IGNORED, DONE = "received", "ignored", "done"
"""The states of an inbox row: to be processed, without effect, applied."""


class InboxEvent(Base):
    """An event of Stripe, byte for byte. Kept for longer than the 30 days that Stripe lists events for."""

    __tablename__ = "stripe_inbox"
    __table_args__ = (
        UniqueConstraint("livemode", "event_id"),
        CheckConstraint(f"state IN ('{RECEIVED}', '{IGNORED}', '{DONE}')", name="state"),
        # For the reconciler: the rows that are not done, oldest first.
        Index("stripe_inbox_open_idx", "received_at", "id", postgresql_where=text(f"state = '{RECEIVED}'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    livemode: Mapped[bool]
    event_id: Mapped[str] = mapped_column(Text)
    type: Mapped[str] = mapped_column(Text)
    api_version: Mapped[str] = mapped_column(Text)
    body: Mapped[bytes] = mapped_column(LargeBinary, deferred=True)
    """bytea, because jsonb rejects some valid JSON (an escaped NUL, a lone surrogate)."""
    received_at: Mapped[datetime] = mapped_column(server_default=func.now())
    object_type: Mapped[str] = mapped_column(Text)
    """What to fetch; empty if the event has no effect."""
    object_id: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(Text)
    ignored_because: Mapped[str] = mapped_column(Text, server_default="")
    done_at: Mapped[datetime | None]

    generation: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    """How often it was enqueued on the jobs service; 0 for an event without effect."""
    outbox_id: Mapped[UUID | None]
    """The outbox row of the current generation, …"""
    enqueued_at: Mapped[datetime | None]
    """… and when that was written."""


class AppliedObject(Base):
    """The last fetch applied for each Stripe object: the fence against repeated and late applying."""

    __tablename__ = "stripe_objects"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    type: Mapped[str] = mapped_column(Text)
    sequence: Mapped[int] = mapped_column(BigInteger)
    applied_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Customer(Base):
    """A user as a customer of Stripe. Written before the call that creates the customer."""

    __tablename__ = "stripe_customers"
    __table_args__ = (
        # One customer in use for each user. A retired one keeps its row, because its subscriptions may go on.
        Index("stripe_customers_in_use_idx", "user_id", unique=True, postgresql_where=text("retired_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    stripe_id: Mapped[str | None] = mapped_column(Text, unique=True)
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    """Numbers the idempotency keys; incremented after a server error of Stripe's."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    retired_at: Mapped[datetime | None]
    """Since when Stripe no longer knows it."""


class Checkout(Base):
    """A checkout that a user started. Written before the call that creates the session."""

    __tablename__ = "checkouts"
    __table_args__ = (UniqueConstraint("user_id", "client_key"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    client_key: Mapped[str] = mapped_column(Text)
    price_id: Mapped[str] = mapped_column(Text)
    attempt: Mapped[int] = mapped_column(Integer, server_default=text("1"))
    """As Customer.attempt."""
    session_id: Mapped[str | None] = mapped_column(Text, unique=True)
    url: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(Text, server_default="open")
    """Stripe's status: "open", "complete" or "expired"."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Subscription(Base):
    """A subscription as Stripe last described it."""

    __tablename__ = "subscriptions"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    customer_id: Mapped[str] = mapped_column(Text)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    """None for a customer without a user, who can be created at Stripe by hand."""
    status: Mapped[str] = mapped_column(Text)
    prices: Mapped[list[str]] = mapped_column(ARRAY(Text))
    current_period_start: Mapped[datetime | None]
    current_period_end: Mapped[datetime | None]
    cancel_at_period_end: Mapped[bool]
    past_due_since: Mapped[datetime | None]
    """When it was first seen past due, this time; its grace period starts then."""
    created_at: Mapped[datetime]
    """By Stripe's clock."""
    updated_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())


class Notice(Base):
    """An email about something that happened at Stripe: one for each thing, however many events report it."""

    __tablename__ = "billing_notices"

    about: Mapped[str] = mapped_column(Text, primary_key=True)
    """What happened to which object: "subscription_active:sub_…"."""
    mail_id: Mapped[UUID] = mapped_column()
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
