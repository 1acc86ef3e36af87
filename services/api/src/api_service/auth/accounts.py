"""The operations on accounts, for gRPC and for the pages behind links in emails.

Register, resend and reset run the same statements whether the address is unknown, unconfirmed or confirmed. If nothing
is to be sent, the writes are rolled back before the commit. So neither responses nor their timing reveal who has an
account.

A registration's password belongs to the link that confirms it, not to the address. An attacker who registers another
person's address first can't log in to the account that its owner confirms later.
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
    """How long links are valid, and the time between emails to one address."""

    verification: timedelta
    reset: timedelta
    cooldown: timedelta


class Mails(Protocol):
    """Queues the emails that these calls cause. The mail package implements it; this one doesn't import that."""

    def post(self, session: AsyncSession, user: User, template: str, *, token: OneTimeToken | None = None) -> object:
        """Adds an email to the user, and its job, to the session's transaction."""


class Accounts:
    """Registration, email verification, login, password reset."""

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
        """Registers an address and queues the email that confirms it.

        The owner of a confirmed address gets a notice instead, with a link to choose a new password. Repeating the
        call during the address's cool-down sends nothing and has no effect.

        Raises:
            PasswordRefusedError: Before anything about the address is looked at.
            HashingBusyError: Too many passwords wait to be hashed.
            DatabaseUnavailableError: The address may or may not be registered; retrying is safe.
        """
        password_hash = await self._passwords.hash(policy.choose(password))
        async with self._database.transaction() as session:
            cool = await claim_cooldown(session, email, MailPurpose.VERIFICATION, self._lifetimes.cooldown)
            created = await _create(session, email)
            user = await _lock(session, email)
            assert user is not None
            # A new account gets its email even if a resend to this address was just requested.
            if user.email_verified_at is None:
                await self._post_verification(session, user, password_hash, wanted=cool or created)
            else:
                await self._post_reset(session, user, "already_registered", wanted=cool)
        log.info("registration", user_id=str(user.id), created=created, mailed=cool or created)

    async def resend_verification(self, email: str) -> None:
        """Queues an email with a new link if an account waits for confirmation and there is no cool-down.

        Raises:
            DatabaseUnavailableError: Retrying is safe.
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
            DatabaseUnavailableError: The change may or may not have been made.
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
        """Returns an access token and when it expires, for a confirmed address and its password.

        Raises:
            CredentialsInvalidError: Anything else, after the same work.
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
        """Queues an email with a link to choose a new password if there is such an account and no cool-down.

        Raises:
            DatabaseUnavailableError: Retrying is safe.
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
        """Sets a new password, ends every login, and queues a notice. It also confirms the address, which got the link.

        Raises:
            PasswordRefusedError: The link still works.
            TokenInvalidError: Nothing was changed.
            HashingBusyError: Too many passwords wait to be hashed; the link still works.
            DatabaseUnavailableError: The change may or may not have been made.
        """
        chosen = policy.choose(new_password, field="new_password")
        async with self._database.transaction() as session:
            if not await one_time_tokens.is_live(session, token, Purpose.RESET_PASSWORD):
                raise TokenInvalidError("the link is unknown, used, superseded or expired")
        # Only now: otherwise a client could keep this service busy with hashing by sending random tokens.
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
        """Updates a hash to the current parameters, unless the password has been changed in the meantime."""
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
    """Adds the account unless the address has one. One of several concurrent callers gets True."""
    statement = insert(User).values(id=uuid4(), email=email.strip(), email_key=address_key(email))
    created = await session.execute(
        statement.on_conflict_do_nothing(index_elements=[User.email_key]).returning(User.id)
    )
    return created.first() is not None


async def _lock(session: AsyncSession, email: str) -> User | None:
    return await session.scalar(select(User).where(User.email_key == address_key(email)).with_for_update())


def _nobody(email: str) -> User:
    """A placeholder for an address without an account; it isn't in a session, so it is never written."""
    return User(id=uuid4(), email=email, email_key=address_key(email), locale="en")


@asynccontextmanager
async def _undone_unless(session: AsyncSession, wanted: bool) -> AsyncIterator[None]:
    """Runs the block's writes in any case, and rolls them back if they aren't wanted."""
    savepoint = await session.begin_nested()
    with nullcontext() if wanted else _without_spans():
        yield
        await session.flush()
    if wanted:
        await savepoint.commit()
    else:
        await savepoint.rollback()


def _without_spans() -> AbstractContextManager[trace.Span]:
    """Records no span for a job that is rolled back: below an unsampled span, samplers record nothing."""
    here = trace.get_current_span().get_span_context()
    unsampled = trace.SpanContext(here.trace_id, here.span_id, is_remote=False, trace_flags=trace.TraceFlags(0))
    return trace.use_span(trace.NonRecordingSpan(unsampled))
