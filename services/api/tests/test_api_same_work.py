"""The amount of work reveals nothing about an address."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import event, text

from api_service.auth.access_tokens import AccessTokens
from api_service.auth.accounts import Accounts, Lifetimes
from api_service.auth.errors import CredentialsInvalidError
from api_service.auth.passwords import Passwords
from api_service.database import Database
from api_service.mail.submission import MailSubmission
from api_service.outbox import outbox

if TYPE_CHECKING:
    from api_service.settings import ApiSettings

PASSWORD = "seven purple umbrellas"


@pytest.fixture
async def opened(api_database: str) -> AsyncIterator[Database]:
    database = Database(api_database)
    yield database
    await database.dispose()


@pytest.fixture
async def accounts(opened: Database, api_environment: Callable[..., ApiSettings]) -> AsyncIterator[Accounts]:
    """Accounts, with nothing else on their database; one address is known, one is confirmed."""
    settings = api_environment(API_DATABASE_URL="postgresql://db/unused")
    passwords = Passwords()
    accounts = Accounts(
        opened,
        passwords=passwords,
        link_keys=settings.api_link_keys,
        access_tokens=AccessTokens(settings.api_access_token_key),
        mail_submission=MailSubmission(outbox, sender="hello@example.com"),
        lifetimes=Lifetimes(
            verification=timedelta(hours=1), reset=timedelta(hours=1), cooldown=timedelta(milliseconds=1)
        ),
    )
    await accounts.register("waiting@example.com", PASSWORD)
    await accounts.register("confirmed@example.com", PASSWORD)
    async with opened.transaction() as session:
        await session.execute(
            text("UPDATE users SET email_verified_at = now() WHERE email_key = 'confirmed@example.com'")
        )
    yield accounts
    passwords.close()


@contextmanager
def statements(database: Database) -> Iterator[list[str]]:
    """What goes to the database during the block."""
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        # The one thing that differs is how a savepoint ends: kept or undone.
        seen.append(re.sub(r"(RELEASE|ROLLBACK TO) SAVEPOINT .*", "end of savepoint", statement))

    engine = database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


@pytest.mark.parametrize("call", ["register", "resend", "reset", "login"])
async def test_the_same_statements_run_for_every_address(accounts: Accounts, opened: Database, call: str) -> None:
    async def login(email: str) -> None:
        with pytest.raises(CredentialsInvalidError):
            await accounts.log_in(email, "some other password")

    calls: dict[str, Callable[[str], Awaitable[None]]] = {
        "register": lambda email: accounts.register(email, PASSWORD),
        "resend": accounts.resend_verification,
        "reset": accounts.request_password_reset,
        "login": login,
    }
    work = {}
    for address in ("unknown@example.com", "waiting@example.com", "confirmed@example.com"):
        with statements(opened) as seen:
            await calls[call](address)
        work[address] = seen
    assert work["unknown@example.com"] == work["waiting@example.com"] == work["confirmed@example.com"]
    assert len(work["unknown@example.com"]) >= (1 if call == "login" else 6)
