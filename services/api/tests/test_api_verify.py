"""Confirming an address: each link works once, even for concurrent requests."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import grpc
import grpc.aio
import pytest
from grpc import StatusCode

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused


async def test_of_twenty_concurrent_uses_of_one_link_one_wins(api: Api) -> None:
    await api.register()
    [token] = await api.tokens("verify_email")

    outcomes = await asyncio.gather(*(api.verify(token) for _ in range(20)), return_exceptions=True)

    losers = [outcome for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert len(losers) == 19
    assert {loser.code() for loser in losers} == {StatusCode.NOT_FOUND}


async def test_of_two_links_used_at_the_same_time_one_wins(api: Api) -> None:
    await api.register(password="the first password")
    await api.register(password="the second password")
    tokens = await api.tokens("verify_email")

    outcomes = await asyncio.gather(*(api.verify(token) for token in tokens), return_exceptions=True)

    winner = outcomes.index(None)
    await api.login(password=("the first password", "the second password")[winner])
    assert isinstance(outcomes[1 - winner], grpc.aio.AioRpcError)


async def test_a_used_link_is_refused(api: Api, refused: Refused) -> None:
    await api.register()
    [token] = await api.tokens("verify_email")
    await api.verify(token)
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.verify(token)


@pytest.mark.parametrize(
    "token", ["x", "A" * 43, "'; drop table users --", "\u00e9\u0000\u2603"], ids=["short", "guessed", "sql", "odd"]
)
async def test_an_unknown_link_is_refused(api: Api, refused: Refused, token: str) -> None:
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.verify(token)


async def test_an_expired_link_is_refused(api: Api, refused: Refused) -> None:
    await api.register()
    [token] = await api.tokens("verify_email")
    await api.rows("UPDATE one_time_tokens SET expires_at = now()")
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.verify(token)
    with refused(StatusCode.UNAUTHENTICATED):
        await api.login()


async def test_a_link_for_one_purpose_is_worth_nothing_for_another(api: Api, refused: Refused) -> None:
    await api.register()
    await api.request_reset()
    [verifies] = await api.tokens("verify_email")
    [resets] = await api.tokens("reset_password")
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.verify(resets)
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.reset(verifies, "a password of mine")


async def test_the_last_three_links_stay_valid_for_mails_overtake_each_other(api: Api, refused: Refused) -> None:
    await api.register()
    [first] = await api.tokens("verify_email")
    for _ in range(3):
        await api.resend()
    second, third, fourth = await api.tokens("verify_email")
    assert first not in {second, third, fourth}
    with refused(StatusCode.NOT_FOUND, "TOKEN_INVALID"):
        await api.verify(first)
    await api.verify(second)
    await api.login()


async def test_a_resend_carries_the_password_of_the_registration(api: Api) -> None:
    await api.register()
    await api.resend()
    await api.verify((await api.tokens("verify_email"))[-1])
    await api.login()


async def test_a_resend_to_a_confirmed_or_unknown_address_sends_nothing(api: Api) -> None:
    await api.registered()
    before = await api.rows("SELECT id FROM mails")
    await api.resend()
    await api.resend("nobody@example.com")
    assert await api.rows("SELECT id FROM mails") == before
    assert len(await api.rows("SELECT id FROM one_time_tokens")) == 1
