"""Mail addresses: how two of them are compared, and how often one may be written to."""

from __future__ import annotations

import hashlib
import unicodedata
from datetime import timedelta
from enum import StrEnum

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession


class MailPurpose(StrEnum):
    """Mails that share a cool-down."""

    VERIFICATION = "verification"
    RESET = "reset"


def address_key(email: str) -> str:
    """The form in which addresses are compared: without regard to case."""
    return unicodedata.normalize("NFC", email.strip()).casefold()


# Each claim also sweeps away two rows that have ended, so the table stays as small as its traffic.
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
    """Starts the address's cool-down for mails of a sort; False while one is running.

    Works alike for addresses that nobody has registered. Of several concurrent callers one gets True: the others
    wait for its commit.
    """
    digest = hashlib.sha256(address_key(email).encode()).digest()
    claimed = await session.execute(_CLAIM, {"address_hash": digest, "purpose": sort.value, "length": length})
    return claimed.first() is not None
