"""Accounts, the one-time tokens behind links in emails, and cool-downs of addresses.

Every change of an account or its tokens locks the account's row first, so no two changes can deadlock.
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
    """As the user typed it; emails go to this address."""
    email_key: Mapped[str] = mapped_column(Text, unique=True)
    """For comparisons: see `auth.addresses`."""
    password_hash: Mapped[str | None] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text, server_default=text("'en'"))
    session_epoch: Mapped[int] = mapped_column(server_default=text("0"))
    """Every login belongs to an epoch; incrementing it ends all of them."""
    email_verified_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class OneTimeToken(Base):
    """A token behind a link in an email: valid once, for one purpose, until it expires or is superseded.

    Only the token's SHA-256 is stored. The token itself is derived from `id` and a key that is not in the database.
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
    """The id of the key in API_LINK_KEYS that it is derived with."""
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    password_hash: Mapped[str | None] = mapped_column(Text)
    """The password chosen in the registration that this token confirms; confirming sets it on the account."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    expires_at: Mapped[datetime]
    superseded_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class MailCooldown(Base):
    """Until when no further email of a sort is sent to an address, known or not. Holds only the address's hash."""

    __tablename__ = "mail_cooldowns"
    __table_args__ = (Index("mail_cooldowns_ends_at_idx", "ends_at"),)

    address_hash: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    purpose: Mapped[str] = mapped_column(Text, primary_key=True)
    ends_at: Mapped[datetime]
