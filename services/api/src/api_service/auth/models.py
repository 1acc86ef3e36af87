"""Accounts, the one-time tokens behind mail links, and how often an address may be written to.

Whoever changes an account, or tokens of it, locks the account's row first; so no two of them can deadlock.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint, ForeignKey, Index, LargeBinary, Text, func, text
from sqlalchemy.orm import Mapped, mapped_column

from api_service.auth.link_tokens import Purpose
from api_service.database import Base

_PURPOSES = ", ".join(f"'{purpose}'" for purpose in Purpose)


class User(Base):
    """An account. It has a password from the moment its address is confirmed, not before."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str] = mapped_column(Text)
    """As it was typed; mails go there."""
    email_key: Mapped[str] = mapped_column(Text, unique=True)
    """For comparing: see `auth.addresses`."""
    password_hash: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text, server_default=text("'en'"))
    session_epoch: Mapped[int] = mapped_column(server_default=text("0"))
    """Every login is of an epoch; raising it ends them all."""
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OneTimeToken(Base):
    """A token behind a mail link: good once, for one purpose, until it expires or is superseded.

    Only the token's SHA-256 is here. The token itself is derived from `id` and a key that is not in the database.
    """

    __tablename__ = "one_time_tokens"
    __table_args__ = (
        CheckConstraint(text(f"purpose IN ({_PURPOSES})"), name="purpose"),
        Index("one_time_tokens_live_idx", "user_id", "purpose", postgresql_where=text("used_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED")
    )
    purpose: Mapped[Purpose] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(Text)
    """Which of API_LINK_KEYS it is derived with."""
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    password_hash: Mapped[str | None] = mapped_column(Text)
    """The password chosen in the registration that this token confirms; it becomes the account's with it."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class MailCooldown(Base):
    """Until when no further mail of a sort goes to an address, known or not. Holds no address."""

    __tablename__ = "mail_cooldowns"
    __table_args__ = (Index("mail_cooldowns_ends_at_idx", "ends_at"),)

    address_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    ends_at: Mapped[datetime]
