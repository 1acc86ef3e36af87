"""Emails to send: what is needed to render one when it is sent, and which job may send it now."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from api_service.database import Base


class Mail(Base):
    """One email to one user. Its job has only its id; the content and link are created when it is rendered."""

    __tablename__ = "mails"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    user_id: Mapped[UUID] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), index=True
    )
    template: Mapped[str] = mapped_column(Text)
    locale: Mapped[str] = mapped_column(Text)
    token_id: Mapped[UUID | None] = mapped_column(
        ForeignKey("one_time_tokens.id", ondelete="CASCADE", deferrable=True, initially="DEFERRED"), index=True
    )
    """The token of its link. If it is used, superseded or expired, the email is dropped."""
    parameters: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'"))
    """Other values of the template, such as a plan's name. Never a secret."""
    message_id: Mapped[str] = mapped_column(Text, unique=True)
    """The Message-ID header, the same on every attempt; `created_at` is the Date."""
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())

    reserved_job_id: Mapped[str | None] = mapped_column(Text)
    """The job that may send it now, …"""
    reserved_lease: Mapped[int | None] = mapped_column(BigInteger)
    """… under this lease, …"""
    reserved_until: Mapped[datetime | None]
    """… until another job may take over."""
    sent_at: Mapped[datetime | None]
