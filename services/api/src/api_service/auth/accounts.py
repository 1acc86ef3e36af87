"""What can be done with accounts, whichever door it comes through (gRPC, or the pages behind mail links).

Register, resend and reset run the same statements whether the address is unknown, waiting to be confirmed or
confirmed: where nothing is to be sent, the writing is undone before the commit. So neither answers nor their timing
say who has an account.

A registration's password belongs to the link that confirms it, not to the address: whoever registers somebody else's
address first cannot get into the account that its owner confirms later.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID, uuid4

import structlog
from opentelemetry import trace
from sqlalchemy import func, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from api_service.auth import one_time_tokens
from api_service.auth import passwords as policy
from api_service.auth.access_tokens import AccessTokens
from api_service.auth.addresses import MailPurpose, address_key, claim_cooldown
from api_service.auth.errors import CredentialsInvalidError, TokenInvalidError
from api_service.auth.link_tokens import LinkKeys, Purpose
from api_service.auth.models import OneTimeToken, User
from api_service.auth.passwords import Passwords
from api_service.database import Database

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Lifetimes:
    """How long links are valid, and how far apart mails to one address are."""

    verification: timedelta
    reset: timedelta
    cooldown: timedelta


class Mails(Protocol):
    """Posts the mails that these calls cause. The mail package has it; this one doesn't import that."""

    def post(self, session: AsyncSession, user: User, template: str, *, token: OneTimeToken | None = None) -> object:
        """Adds a mail to the user, and its job, to the session's transaction."""


class Accounts:
    """Registering, confirming an address, logging in, choosing a new password."""

    def __init__(
        self,
        database: Database,
        *,
        passwords: Passwords,
        link_keys: LinkKeys,
        access_tokens: AccessTokens,
        mail_submission: Mails,
        lifetimes: Lifetimes,
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._keys = link_keys
        self._access_tokens = access_tokens
        self._mail_submission = mail_submission
        self._lifetimes = lifetimes

    async def register(self, email: str, password: str) -> None:
        """Registers an address and posts the mail that confirms it.

        A confirmed address's owner gets a notice instead, with a link to choose a new password. A repetition during
        the address's cool-down sends nothing and has no effect.

        Raises:
            PasswordRefusedError: Before anything about the address is looked at.
            HashingBusyError: Too many passwords wait to be hashed.
            DatabaseUnavailableError: Nothing was registered, or it is unknown whether it was; repeating it is safe.
        """
        password_hash = await self._passwords.hash(policy.choose(password))
        async with self._database.transaction() as session:
            cool = await claim_cooldown(session, email, MailPurpose.VERIFICATION, self._lifetimes.cooldown)
            created = await _create(session, email)
            user = await _lock(session, email)
            assert user is not None
            # A new account gets its mail also where somebody has just asked for a resend to this address.
            if user.email_verified_at is None:
                await self._post_verification(session, user, password_hash, wanted=cool or created)
            else:
                await self._post_reset(session, user, "already_registered", wanted=cool)
        log.info("registration", user_id=str(user.id), created=created, mailed=cool or created)

    async def resend_verification(self, email: str) -> None:
        """Posts a new link, where an account waits for its address to be confirmed and no cool-down runs.

        Raises:
            DatabaseUnavailableError: Repeating it is safe.
        """
        async with self._database.transaction() as session:
            cool = await claim_cooldown(session, email, MailPurpose.VERIFICATION, self._lifetimes.cooldown)
            user = await _lock(session, email) or _nobody(email)
            latest = (
                select(OneTimeToken.password_hash)
                .where(OneTimeToken.user_id == user.id, OneTimeToken.purpose == Purpose.VERIFY_EMAIL)
                .order_by(OneTimeToken.created_at.desc())
                .limit(1)
            )
            password_hash = await session.scalar(latest)
            wanted = cool and password_hash is not None and user.email_verified_at is None
            await self._post_verification(session, user, password_hash, wanted=wanted)
        if wanted:
            log.info("verification resent", user_id=str(user.id))

    async def verify_email(self, token: str) -> None:
        """Confirms an address; the account then has the password of the registration that the link belongs to.

        Raises:
            TokenInvalidError: Nothing was changed.
            DatabaseUnavailableError: Nothing was changed, or it is unknown whether it was.
        """
        async with self._database.transaction() as session:
            used = await one_time_tokens.use(session, token, Purpose.VERIFY_EMAIL)
            confirmed = await session.execute(
                update(User)
                .where(User.id == used.user_id, User.email_verified_at.is_(None))
                .values(email_verified_at=func.now(), password_hash=used.password_hash)
                .returning(User.id)
            )
            if confirmed.first() is None:
                raise TokenInvalidError("the address was confirmed before, by another link")
        log.info("email verified", user_id=str(used.user_id))

    async def log_in(self, email: str, password: str) -> tuple[str, datetime]:
        """An access token and when it expires, for a confirmed address and its password.

        Raises:
            CredentialsInvalidError: Any other pair, after the same work.
            HashingBusyError: Too many passwords wait to be hashed.
            DatabaseUnavailableError: The account could not be looked up.
        """
        normalised = policy.normalise(password)
        async with self._database.transaction() as session:
            user = await session.scalar(select(User).where(User.email_key == address_key(email)))
        current = user.password_hash if user else None
        if not await self._passwords.verify(current, normalised):
            log.info("login refused", user_id=str(user.id) if user else None)
            raise CredentialsInvalidError("the address or the password is wrong, or the address isn't confirmed")
        assert user is not None
        assert current is not None
        if self._passwords.needs_rehash(current):
            await self._rehash(user.id, current, normalised)
        log.info("login", user_id=str(user.id))
        return self._access_tokens.issue(user.id, user.session_epoch)

    async def request_password_reset(self, email: str) -> None:
        """Posts a link to choose a new password, where there is such an account and no cool-down runs.

        Raises:
            DatabaseUnavailableError: Repeating it is safe.
        """
        async with self._database.transaction() as session:
            cool = await claim_cooldown(session, email, MailPurpose.RESET, self._lifetimes.cooldown)
            known = await _lock(session, email)
            user = known or _nobody(email)
            wanted = cool and known is not None
            await self._post_reset(session, user, "reset_password", wanted=wanted)
        if wanted:
            log.info("password reset requested", user_id=str(user.id))

    async def reset_password(self, token: str, new_password: str) -> None:
        """Sets a new password, ends every login, and posts a notice. It also confirms the address: the link came by it.

        Raises:
            PasswordRefusedError: The link still works.
            TokenInvalidError: Nothing was changed.
            HashingBusyError: Too many passwords wait to be hashed; the link still works.
            DatabaseUnavailableError: Nothing was changed, or it is unknown whether it was.
        """
        chosen = policy.choose(new_password, field="new_password")
        async with self._database.transaction() as session:
            if not await one_time_tokens.is_live(session, token, Purpose.RESET_PASSWORD):
                raise TokenInvalidError("the link is unknown, used, superseded or expired")
        # Only now: hashing for whoever sends any token would be a way to keep this service busy.
        password_hash = await self._passwords.hash(chosen)
        async with self._database.transaction() as session:
            used = await one_time_tokens.use(session, token, Purpose.RESET_PASSWORD)
            user = await session.get_one(User, used.user_id)
            user.password_hash = password_hash
            user.session_epoch += 1
            user.email_verified_at = user.email_verified_at or await session.scalar(select(func.now()))
            self._mail_submission.post(session, user, "password_changed")
        log.info("password reset", user_id=str(used.user_id))

    async def _rehash(self, user_id: UUID, current: str, password: str) -> None:
        """Brings a hash up to today's parameters, unless the password was changed meanwhile."""
        renewed = await self._passwords.hash(password)
        async with self._database.transaction() as session:
            await session.execute(
                update(User).where(User.id == user_id, User.password_hash == current).values(password_hash=renewed)
            )

    async def _post_verification(
        self, session: AsyncSession, user: User, password_hash: str | None, *, wanted: bool
    ) -> None:
        async with _undone_unless(session, wanted):
            token = await one_time_tokens.issue(
                session,
                self._keys,
                user_id=user.id,
                purpose=Purpose.VERIFY_EMAIL,
                lifetime=self._lifetimes.verification,
                password_hash=password_hash,
            )
            self._mail_submission.post(session, user, "verify_email", token=token)

    async def _post_reset(self, session: AsyncSession, user: User, template: str, *, wanted: bool) -> None:
        async with _undone_unless(session, wanted):
            token = await one_time_tokens.issue(
                session, self._keys, user_id=user.id, purpose=Purpose.RESET_PASSWORD, lifetime=self._lifetimes.reset
            )
            self._mail_submission.post(session, user, template, token=token)


async def _create(session: AsyncSession, email: str) -> bool:
    """Adds the account unless the address has one. Of concurrent callers one gets True."""
    statement = insert(User).values(id=uuid4(), email=email.strip(), email_key=address_key(email))
    created = await session.execute(
        statement.on_conflict_do_nothing(index_elements=[User.email_key]).returning(User.id)
    )
    return created.first() is not None


async def _lock(session: AsyncSession, email: str) -> User | None:
    return await session.scalar(select(User).where(User.email_key == address_key(email)).with_for_update())


def _nobody(email: str) -> User:
    """Stands for an address that has no account; in no session, so never written."""
    return User(id=uuid4(), email=email, email_key=address_key(email), locale="en")


@asynccontextmanager
async def _undone_unless(session: AsyncSession, wanted: bool) -> AsyncIterator[None]:
    """Has the block's writing done in any case, and undoes it where it isn't wanted."""
    savepoint = await session.begin_nested()
    with nullcontext() if wanted else _without_spans():
        yield
        await session.flush()
    if wanted:
        await savepoint.commit()
    else:
        await savepoint.rollback()


def _without_spans() -> AbstractContextManager[trace.Span]:
    """Leaves no trace of a job that will never be: below a span that isn't sampled, samplers record nothing."""
    here = trace.get_current_span().get_span_context()
    unsampled = trace.SpanContext(here.trace_id, here.span_id, is_remote=False, trace_flags=trace.TraceFlags(0))
    return trace.use_span(trace.NonRecordingSpan(unsampled))
