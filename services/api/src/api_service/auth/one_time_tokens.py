"""One-time tokens in the database: issued, superseded, and used exactly once.

Every function here runs in the caller's transaction, together with what the token is for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID, uuid4

from sqlalchemy import func, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth.errors import TokenInvalidError
from api_service.auth.link_tokens import LinkKeys, Purpose, at_rest
from api_service.auth.models import OneTimeToken

# Emails may arrive out of order, so the last few links that confirm an address all work. Only the last link of a
# password reset works.
_LIVE = {Purpose.VERIFY_EMAIL: 3, Purpose.RESET_PASSWORD: 1}


@dataclass(frozen=True, slots=True)
class UsedToken:
    """The user and password hash of a token that was just used."""

    user_id: UUID
    password_hash: str | None


async def issue(
    session: AsyncSession,
    keys: LinkKeys,
    *,
    user_id: UUID,
    purpose: Purpose,
    lifetime: timedelta,
    password_hash: str | None = None,
) -> OneTimeToken:
    """Adds a token, and supersedes the user's earlier tokens of that purpose beyond the last few.

    The caller holds the lock of the user's row.
    """
    superseded = (
        select(OneTimeToken.id)
        .where(
            OneTimeToken.user_id == user_id,
            OneTimeToken.purpose == purpose,
            OneTimeToken.used_at.is_(None),
            OneTimeToken.superseded_at.is_(None),
        )
        .order_by(OneTimeToken.created_at.desc())
        .offset(_LIVE[purpose] - 1)
    )
    await session.execute(
        update(OneTimeToken).where(OneTimeToken.id.in_(superseded)).values(superseded_at=func.now()),
        execution_options={"synchronize_session": False},
    )
    token_id = uuid4()
    token = OneTimeToken(
        id=token_id,
        user_id=user_id,
        purpose=purpose,
        key_id=keys.current,
        token_hash=at_rest(keys.token(keys.current, purpose, token_id)),
        password_hash=password_hash,
        expires_at=func.now() + lifetime,
    )
    session.add(token)
    return token


async def is_live(session: AsyncSession, token: str, purpose: Purpose) -> bool:
    """Returns whether the token would work now. It changes nothing; `use` decides."""
    live = select(OneTimeToken.id).where(
        OneTimeToken.token_hash == at_rest(token),
        OneTimeToken.purpose == purpose,
        OneTimeToken.used_at.is_(None),
        OneTimeToken.superseded_at.is_(None),
        OneTimeToken.expires_at > func.now(),
    )
    return await session.scalar(live) is not None


# One statement decides among concurrent callers: the first to update the row gets it. For the others Postgres checks
# the condition again on the updated row, where it is false. The owner's row is locked first, as everywhere.
_USE = text("""
    WITH owner AS (
        SELECT users.id FROM users JOIN one_time_tokens ON one_time_tokens.user_id = users.id
        WHERE one_time_tokens.token_hash = :token_hash
        FOR UPDATE OF users
    )
    UPDATE one_time_tokens SET used_at = now() FROM owner
    WHERE one_time_tokens.user_id = owner.id AND token_hash = :token_hash AND purpose = :purpose
      AND used_at IS NULL AND superseded_at IS NULL AND expires_at > now()
    RETURNING user_id, password_hash
""")


async def use(session: AsyncSession, token: str, purpose: Purpose) -> UsedToken:
    """Marks the token as used and locks its owner's row, in the caller's transaction.

    Raises:
        TokenInvalidError: Unknown, of another purpose, used, superseded or expired.
    """
    row = (await session.execute(_USE, {"token_hash": at_rest(token), "purpose": purpose.value})).first()
    if row is None:
        raise TokenInvalidError("the link is unknown, used, superseded or expired")
    return UsedToken(user_id=row.user_id, password_hash=row.password_hash)
