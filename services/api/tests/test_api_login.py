"""Logging in, and what an access token is good for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import grpc.aio
import jwt
import pytest
from argon2 import PasswordHasher
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from grpc import StatusCode

from api_service.auth.access_tokens import AccessTokens
from saas.auth.v1 import auth_service_pb2 as auth_pb

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused, StartApi


async def test_wrong_password_unknown_and_unconfirmed_address_are_refused_in_the_same_words(
    api: Api, refused: Refused
) -> None:
    await api.registered()
    await api.register("unconfirmed@example.com")
    said = set()
    for email, password in [
        (api.email, "not the password"),
        ("nobody@example.com", api.password),
        ("unconfirmed@example.com", api.password),
    ]:
        with refused(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID") as refusal:
            await api.login(email, password)
        said.add(refusal.text)
    assert len(said) == 1


async def test_the_address_is_compared_without_regard_to_case(api: Api) -> None:
    await api.registered("Ada@Example.com")
    await api.login("aDA@eXAMPLE.COM")


async def test_the_same_letters_are_the_same_password_however_they_are_typed(api: Api) -> None:
    await api.registered(password="Stra\u00dfencaf\u00e9 am Fluss")
    await api.login(password="Stra\u00dfencafe\u0301 am Fluss")


async def test_a_hash_with_older_parameters_is_renewed_at_the_login(api: Api) -> None:
    await api.registered()
    old = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(api.password)
    await api.rows("UPDATE users SET password_hash = %s", old)
    await api.login()
    [row] = await api.rows("SELECT password_hash FROM users")
    assert row["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    await api.login()


async def test_a_damaged_hash_is_a_refused_login_and_no_failure(api: Api, refused: Refused) -> None:
    await api.registered()
    await api.rows("UPDATE users SET password_hash = 'not a hash'")
    with refused(StatusCode.UNAUTHENTICATED, "CREDENTIALS_INVALID"):
        await api.login()


async def test_more_logins_than_may_wait_are_refused_before_they_cost_anything(start_api: StartApi) -> None:
    api = await start_api(API_HASH_THREADS="1", API_HASH_WAITING="2")
    outcomes: list[Any] = await asyncio.gather(*(api.login() for _ in range(12)), return_exceptions=True)
    codes = [outcome.code() for outcome in outcomes if isinstance(outcome, grpc.aio.AioRpcError)]
    assert set(codes) == {StatusCode.RESOURCE_EXHAUSTED, StatusCode.UNAUTHENTICATED}
    assert codes.count(StatusCode.UNAUTHENTICATED) >= 3


async def test_the_answer_says_when_the_token_expires_which_is_within_ten_minutes(api: Api) -> None:
    await api.registered()
    answer = await api.auth.Login(auth_pb.LoginRequest(email=api.email, password=api.password))
    claims = jwt.decode(answer.access_token, options={"verify_signature": False})
    assert jwt.get_unverified_header(answer.access_token)["alg"] == "EdDSA"
    assert claims["exp"] == answer.expires_at.seconds
    assert claims["exp"] - claims["iat"] == 600


async def test_an_access_token_that_is_not_ours_or_has_expired_is_refused(api: Api, refused: Refused) -> None:
    await api.registered()
    [row] = await api.rows("SELECT id FROM users")
    key = api.settings.api_access_token_key
    elsewhere = AccessTokens(key, clock=lambda: datetime.now(UTC) - timedelta(hours=1))
    claims = {"iss": "headrace-api", "aud": "headrace", "sub": str(row["id"]), "epoch": 0, "iat": 1, "exp": 9999999999}
    tokens = {
        "expired": elsewhere.issue(row["id"], 0)[0],
        "of an earlier epoch": AccessTokens(key).issue(row["id"], -1)[0],
        "of no user": AccessTokens(key).issue(uuid4(), 0)[0],
        "signed by another key": jwt.encode(claims, Ed25519PrivateKey.generate(), algorithm="EdDSA"),
        "not signed": jwt.encode(claims, "", algorithm="none"),
        "for another audience": jwt.encode({**claims, "aud": "else"}, key.private, algorithm="EdDSA"),
        "without an epoch": jwt.encode(
            {name: claims[name] for name in claims if name != "epoch"}, key.private, algorithm="EdDSA"
        ),
        "no token at all": "abc",
    }
    for token in tokens.values():
        with refused(StatusCode.UNAUTHENTICATED, "ACCESS_TOKEN_INVALID"):
            await api.account(token)


@pytest.mark.parametrize("header", [None, "Bearer", "Basic YTpi", "token"])
async def test_a_call_without_a_bearer_token_is_refused(api: Api, refused: Refused, header: str | None) -> None:
    metadata = (("authorization", header),) if header else ()
    with refused(StatusCode.UNAUTHENTICATED, "ACCESS_TOKEN_INVALID"):
        await api.auth.GetAccount(auth_pb.GetAccountRequest(), metadata=metadata)
