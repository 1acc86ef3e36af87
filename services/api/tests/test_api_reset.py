"""Choosing a new password: by the last link alone, once, and every login ends with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc.aio
from eventually import Eventually
from grpc import StatusCode

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused, StartApi

NEW = "eleven green kettles"


async def test_a_new_password_ends_every_login_and_is_told_by_mail(
    api: Api, refused: Refused, eventually: Eventually
) -> None:
    await api.registered()
    before = await api.login()
    await api.account(before)
    await api.request_reset()
    [token] = await api.tokens("reset_password")
    await api.reset(token, NEW)

    with refused(StatusCode.UNAUTHENTICATED, "ACCESS_TOKEN_INVALID"):
        await api.account(before)
    with refused(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"):
        await api.login()
    await api.account(await api.login(password=NEW))
    [notice] = await api.mail_ids("password_changed")
    assert "was changed" in (await api.render(notice)).mail.subject
    await eventually(lambda: api.jobs.kinds()[-1] == "SendNotificationEmail")


async def test_a_later_link_supersedes_the_earlier_ones(api: Api, refused: Refused) -> None:
    await api.registered()
    await api.request_reset()
    [earlier] = await api.tokens("reset_password")
    await api.request_reset()
    [later] = await api.tokens("reset_password")
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.reset(earlier, NEW)
    await api.reset(later, NEW)


async def test_of_twenty_concurrent_resets_by_one_link_one_wins(api: Api) -> None:
    await api.registered()
    await api.request_reset()
    [token] = await api.tokens("reset_password")
    passwords = [f"the new password {n}" for n in range(20)]

    outcomes = await asyncio.gather(*(api.reset(token, password) for password in passwords), return_exceptions=True)

    await api.login(password=passwords[outcomes.index(None)])
    losers = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(losers) == 19
    assert {loser.code() for loser in losers} == {StatusCode.NOT_FOUND}
    assert len(await api.mail_ids("password_changed")) == 1


async def test_a_refused_password_leaves_the_link_working(api: Api, refused: Refused) -> None:
    await api.registered()
    await api.request_reset()
    [token] = await api.tokens("reset_password")
    with refused(StatusCode.INVALID_ARGUMENT, "PASSWORD_REFUSED") as refusal:
        await api.reset(token, "password123")
    assert refusal.fields == {"new_password"}
    await api.reset(token, NEW)


async def test_a_request_for_an_unknown_address_answers_alike_and_writes_nothing(api: Api) -> None:
    await api.request_reset("nobody@example.com")
    for table in ("users", "one_time_tokens", "mails", "outbox"):
        assert await api.rows(f"SELECT * FROM {table}") == []


async def test_a_reset_confirms_an_address_and_voids_registrations_under_way(api: Api, refused: Refused) -> None:
    await api.register(password="of an intruder 1")
    await api.request_reset()
    [confirms] = await api.tokens("verify_email")
    [resets] = await api.tokens("reset_password")
    await api.reset(resets, NEW)

    assert (await api.account(await api.login(password=NEW))).HasField("email_verified_at")
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.verify(confirms)
    await api.login(password=NEW)


async def test_requests_and_uses_of_links_at_the_same_time_never_lock_each_other_out(api: Api) -> None:
    await api.registered()
    for round_ in range(5):
        await api.request_reset()
        token = (await api.tokens("reset_password"))[-1]
        calls = [api.request_reset() for _ in range(5)]
        outcomes = await asyncio.gather(api.reset(token, f"{NEW} {round_}"), *calls, return_exceptions=True)
        failed = {outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)}
        assert failed <= {StatusCode.NOT_FOUND}  # a request that came first supersedes the link


async def test_mails_to_an_address_keep_their_distance(start_api: StartApi) -> None:
    api = await start_api(API_MAIL_COOLDOWN="1m")
    await api.registered()
    await asyncio.gather(*(api.request_reset() for _ in range(10)))
    assert len(await api.mail_ids("reset_password")) == 1
