"""Registration: one account and one email in one commit, and responses that reveal nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from eventually import Eventually
from grpc import StatusCode

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused, StartApi


async def test_registering_posts_one_mail_whose_link_confirms_the_address(api: Api) -> None:
    await api.register()
    [token] = await api.tokens("verify_email")
    await api.verify(token)

    account = await api.account(await api.login())
    assert account.email == api.email
    assert account.HasField("email_verified_at")
    assert account.subscription_status == ""
    assert list(account.entitlements) == []


async def test_the_job_of_the_mail_is_handed_over_with_the_mails_id_alone(api: Api, eventually: Eventually) -> None:
    await api.register()
    [mail_id] = await api.mail_ids("verify_email")

    assert await eventually(api.jobs.kinds) == ["SendVerificationEmail"]
    [job] = api.jobs.accepted.values()
    assert mail_id.encode() in job.payload.value
    assert len(job.payload.value) == len(mail_id) + 2


async def test_registering_goes_on_while_the_jobs_service_is_down_and_the_mails_follow(
    api: Api, eventually: Eventually
) -> None:
    await api.jobs.stop()
    people = [f"person{n}@example.com" for n in range(20)]
    await asyncio.gather(*(api.register(email) for email in people))
    assert api.jobs.kinds() == []

    await api.jobs.start()

    async def all_sent() -> bool:
        return await api.rows("SELECT id FROM outbox WHERE sent_at IS NULL") == []

    await eventually(all_sent)
    assert len(api.jobs.accepted) == len(people)


async def test_every_bad_field_is_named(api: Api, refused: Refused) -> None:
    with refused(StatusCode.INVALID_ARGUMENT) as refusal:
        await api.register("nobody", "short")
    assert refusal.fields == {"email", "password"}


@pytest.mark.parametrize(
    "password",
    ["Password123", "QWERTYUIOP", "iloveyou!", "contrase\u00f1a", "contrasen\u0303a", "e\u0301" * 7],
    ids=["common", "keyboard", "common with a mark", "composed", "decomposed", "too short once composed"],
)
async def test_a_password_that_is_guessed_first_is_refused(api: Api, refused: Refused, password: str) -> None:
    with refused(StatusCode.INVALID_ARGUMENT, "PASSWORD_REFUSED") as refusal:
        await api.register(password=password)
    assert refusal.fields == {"password"}
    assert await api.rows("SELECT id FROM users") == []


async def test_registering_a_confirmed_address_answers_alike_and_tells_its_owner(api: Api) -> None:
    await api.registered()
    await api.register(api.email.upper(), "another password 1")

    assert len(await api.rows("SELECT id FROM users")) == 1
    [token] = await api.tokens("already_registered")
    await api.login()
    await api.reset(token, "the owner chose this")
    await api.login(password="the owner chose this")


async def test_the_password_is_that_of_the_registration_whose_link_is_used(api: Api, refused: Refused) -> None:
    """So an attacker can't log in to an account by registering its address first."""
    await api.register(password="of an intruder 1")
    await api.register(password="of the owner 22")
    _, owners = await api.tokens("verify_email")
    await api.verify(owners)

    await api.login(password="of the owner 22")
    with refused(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"):
        await api.login(password="of an intruder 1")


async def test_of_concurrent_registrations_of_one_address_one_makes_the_account_and_the_mail(
    start_api: StartApi,
) -> None:
    api = await start_api(API_MAIL_COOLDOWN="1m")
    await asyncio.gather(*(api.register() for _ in range(10)))
    assert len(await api.rows("SELECT id FROM users")) == 1
    assert len(await api.mail_ids("verify_email")) == 1
    await api.verify((await api.tokens("verify_email"))[0])
    await api.login()


async def test_during_the_cooldown_requests_answer_alike_and_send_nothing(start_api: StartApi) -> None:
    api = await start_api(API_MAIL_COOLDOWN="1m")
    await api.register()
    await api.resend()
    await api.register()
    assert len(await api.mail_ids("verify_email")) == 1

    await api.rows("UPDATE mail_cooldowns SET ends_at = now()")
    await api.resend()
    assert len(await api.mail_ids("verify_email")) == 2


async def test_a_cooldown_that_a_stranger_started_does_not_keep_a_new_user_from_their_mail(
    start_api: StartApi,
) -> None:
    api = await start_api(API_MAIL_COOLDOWN="1m")
    await api.resend()
    await api.register()
    assert len(await api.mail_ids("verify_email")) == 1


async def test_cooldowns_that_have_ended_are_swept_away_and_hold_no_address(api: Api) -> None:
    for n in range(10):
        await api.request_reset(f"stranger{n}@example.com")
    kept = await api.rows("SELECT * FROM mail_cooldowns")
    assert len(kept) <= 3
    assert not any(b"example" in row["address_hash"] for row in kept)


async def test_nothing_that_opens_an_account_is_in_the_database(api: Api) -> None:
    await api.register()
    [token] = await api.tokens("verify_email")
    dump = ""
    for table in await api.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"):
        dump += str(await api.rows(f"SELECT * FROM {table['tablename']}"))
    assert "$argon2id$v=19$m=19456,t=2,p=1$" in dump
    assert token not in dump
    assert api.password not in dump
