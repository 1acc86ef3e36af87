"""Email addresses: how they are compared, and how often emails may be sent to one."""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class MailPurpose(StrEnum):
    """Emails that share a cool-down."""

    VERIFICATION = "verification"
    RESET = "reset"


def address_key(email: str) -> str:
    """Returns the form in which addresses are compared: without regard to case."""
    return unicodedata.normalize("NFC", email.strip()).casefold()


# Each claim also deletes two expired rows, so the table's size is proportional to its traffic.
_CLAIM = text("""
    WITH swept AS (
        DELETE FROM mail_cooldowns WHERE (address_hash, purpose) IN (
            SELECT address_hash, purpose FROM mail_cooldowns
            WHERE ends_at <= now() AND address_hash <> :address_hash
            ORDER BY ends_at LIMIT 2 FOR UPDATE SKIP LOCKED
        )
    )
    INSERT INTO mail_cooldowns AS cooldown (address_hash, purpose, ends_at)
    VALUES (:address_hash, :purpose, now() + :length)
    ON CONFLICT (address_hash, purpose) DO UPDATE SET ends_at = excluded.ends_at WHERE cooldown.ends_at <= now()
    RETURNING ends_at
""")


async def claim_cooldown(session: AsyncSession, email: str, sort: MailPurpose, length: timedelta) -> bool:
    """Starts the address's cool-down for emails of a sort; returns False if there already is one.

    It does the same for unregistered addresses. One of several concurrent callers gets True; the others wait for its
    commit.
    """
    digest = hashlib.sha256(address_key(email).encode()).digest()
    claimed = await session.execute(_CLAIM, {"address_hash": digest, "purpose": sort.value, "length": length})
    return claimed.first() is not None
