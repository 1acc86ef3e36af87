"""The webhook endpoint: which events reach the inbox, and which status it returns."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import hmac
import json
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from api_service.billing.signature import SignatureRefusedError, verify
from fake_stripe.sender import sign

if TYPE_CHECKING:
    from services.api.tests.billing.conftest import Api

SECRET, OLD_SECRET = "whsec_new", "whsec_old"


def event(**changes: Any) -> dict[str, Any]:
    """An event as Stripe sends it."""
    return {
        "id": "evt_1",
        "object": "event",
        "type": "customer.subscription.updated",
        "api_version": "2026-10-28.endive",
        "livemode": False,
        "created": int(time.time()),
        "data": {"object": {"id": "sub_1", "object": "subscription"}},
    } | changes


def text(**changes: Any) -> str:
    return json.dumps(event(**changes))


class Endpoint:
    """A client of the endpoint."""

    def __init__(self, api: Api) -> None:
        self.api = api

    async def post(self, body: str | bytes, header: str | None = None, **headers: str) -> httpx.Response:
        """Posts a body; signed unless there is a header."""
        if header is None:
            header = sign(body if isinstance(body, str) else body.decode(), SECRET, int(time.time()))
        sent = {b"stripe-signature": header.encode("latin-1")} | {k.encode(): v.encode() for k, v in headers.items()}
        return await self.api.http.post(self.api.webhook_url, content=body, headers=sent)

    async def inbox(self) -> list[dict[str, Any]]:
        return await self.api.sql("SELECT * FROM stripe_inbox ORDER BY received_at")

    async def outbox(self) -> list[dict[str, Any]]:
        return await self.api.sql("SELECT * FROM outbox ORDER BY id")


@pytest.fixture
def endpoint(api: Api) -> Endpoint:
    return Endpoint(api)


async def test_an_event_is_kept_byte_for_byte_with_one_job(endpoint: Endpoint) -> None:
    body = json.dumps(event(), indent=2) + "\n"
    answer = await endpoint.post(body)
    assert (answer.status_code, answer.text) == (200, "received")
    [row] = await endpoint.inbox()
    assert (row["body"], row["state"], row["object_id"]) == (body.encode(), "received", "sub_1")
    [job] = await endpoint.outbox()
    assert (job["kind"], job["idempotency_key"]) == ("saas.jobs.v1.ProcessStripeWebhook", "evt_1:1")
    assert (row["generation"], row["outbox_id"]) == (1, job["id"])


async def test_an_event_that_comes_many_times_at_once_is_kept_once(endpoint: Endpoint) -> None:
    answers = await asyncio.gather(*(endpoint.post(text()) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    assert sorted(answer.text for answer in answers) == ["duplicate"] * 11 + ["received"]
    assert (len(await endpoint.inbox()), len(await endpoint.outbox())) == (1, 1)


async def test_an_event_is_taken_with_any_of_the_secrets(endpoint: Endpoint) -> None:
    body = text()
    assert (await endpoint.post(body, sign(body, OLD_SECRET, int(time.time())))).text == "received"


@pytest.mark.parametrize(
    ("kind", "because"),
    [("invented.in_2031", "unknown type"), ("invoice.finalized", "no invoices"), ("charge.refunded", "a refund")],
)
async def test_an_event_without_effect_is_kept_with_the_reason_and_without_a_job(
    endpoint: Endpoint, kind: str, because: str
) -> None:
    assert (await endpoint.post(text(type=kind))).text == "ignored"
    [row] = await endpoint.inbox()
    assert row["state"] == "ignored"
    assert row["ignored_because"].startswith(because)
    assert await endpoint.outbox() == []


@pytest.mark.parametrize("changes", [{"livemode": True}, {"account": "acct_another"}])
async def test_an_event_of_another_mode_or_account_is_left_out(endpoint: Endpoint, changes: dict[str, Any]) -> None:
    answer = await endpoint.post(text(**changes))
    assert (answer.status_code, answer.text) == (200, "ignored")
    assert await endpoint.inbox() == []


async def test_an_event_of_another_api_version_is_kept(endpoint: Endpoint) -> None:
    assert (await endpoint.post(text(api_version="2020-08-27"))).text == "received"
    [row] = await endpoint.inbox()
    assert row["api_version"] == "2020-08-27"


async def test_strings_that_are_not_read_may_hold_anything(endpoint: Endpoint) -> None:
    about = r'{"id": "sub_1", "object": "subscription", "description": "\u0000 and \ud800"}'
    body = text().replace('{"id": "sub_1", "object": "subscription"}', about)
    assert about in body
    assert (await endpoint.post(body)).text == "received"
    [row] = await endpoint.inbox()
    assert row["body"] == body.encode()


MALFORMED = {
    "empty": b"",
    "no JSON": b"{",
    "list": b"[]",
    "no fields": b"{}",
    "null": b"null",
    "number too large": b'{"id": 1' + b"0" * 5000 + b"}",
    "deep": b"[" * 100_000,
    "deep objects": b'{"a":' * 50_000,
    "raw NUL": text().replace("sub_1", "sub_\0").encode(),
    "not UTF-8": b'{"id": "\xff"}',
    "byte order mark": b"\xef\xbb\xbf" + text().encode(),
    "no event": text(object="v2.core.event").encode(),
    "no id": text(id=None).encode(),
    "NUL in the id": text(id="evt_\0").encode(),
    "lone surrogate in the id": text(id="evt_\ud800").encode(),
    "lone surrogate in the type": text(type="\udfff").encode(),
    "NUL in the API version": text(api_version="\0").encode(),
    "NUL in the object's id": text(data={"object": {"id": "\0"}}).encode(),
    "id of another type": text(id=7).encode(),
    "id too long": text(id="e" * 256).encode(),
    "livemode of another type": text(livemode="false").encode(),
    "no data": text(data=None).encode(),
    "data without an object": text(data={"object": []}).encode(),
}


def signed(body: bytes, at: int) -> str:
    """Signs bytes that need not be UTF-8, which the stripe package's own function can't."""
    digest = hmac.digest(SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={digest.hex()}"


async def test_what_is_signed_but_no_event_is_refused_and_not_kept(endpoint: Endpoint) -> None:
    now = int(time.time())
    answers = {name: (await endpoint.post(body, signed(body, now))).status_code for name, body in MALFORMED.items()}
    assert answers == dict.fromkeys(MALFORMED, 400)
    assert await endpoint.inbox() == []


def bad_headers(body: str, now: int) -> Iterator[tuple[str, str]]:
    good = sign(body, SECRET, now)
    _, _, digest = good.partition("v1=")
    yield "empty", ""
    yield "another secret", sign(body, "whsec_another", now)
    yield "another body", sign(body + " ", SECRET, now)
    yield "of the past", sign(body, SECRET, now - 400)
    yield "of the future", sign(body, SECRET, now + 400)
    yield "of year 31688", sign(body, SECRET, 10**12 - 1)
    yield "no timestamp", f"v1={digest}"
    yield "no signature", f"t={now}"
    yield "other scheme", f"t={now},v0={digest}"
    yield "two timestamps", f"t={now},t={now - 1},v1={digest}"
    yield "timestamp moved", f"t={now + 1},v1={digest}"
    yield "timestamp of many digits", f"t={'9' * 5000},v1={digest}"
    yield "negative timestamp", f"t=-{now},v1={digest}"
    yield "timestamp with a sign", f"t=+{now},v1={digest}"
    yield "timestamp in superscript", f"t=\xb2,v1={digest}"
    yield "signature that is not ASCII", f"t={now},v1=\xe9"
    yield "garbage", "=,=,,t,v1,\xff"


async def test_what_is_not_signed_by_stripe_just_now_is_refused_and_not_kept(endpoint: Endpoint) -> None:
    body, now = text(), int(time.time())
    answers = {name: (await endpoint.post(body, header)).status_code for name, header in bad_headers(body, now)}
    assert set(answers.values()) == {400}, answers
    assert await endpoint.inbox() == []


async def test_several_signatures_and_spread_headers_are_taken_where_one_is_good(endpoint: Endpoint) -> None:
    body, now = text(), int(time.time())
    good = sign(body, SECRET, now)
    assert (await endpoint.post(body, f"{good},v1={'0' * 64},v0=x")).text == "received"


async def test_a_body_over_the_limit_is_refused_before_it_ends(endpoint: Endpoint) -> None:
    url = httpx.URL(endpoint.api.webhook_url)
    reader, writer = await asyncio.open_connection(url.host, url.port)
    writer.write(b"POST /stripe/webhook HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(4):
        writer.write(b"10000\r\n" + b" " * 65536 + b"\r\n")
    writer.write(b"1\r\n \r\n")  # a byte too many, and no end
    answer = await reader.read()  # to the end of the connection, which the endpoint closes
    assert answer.startswith(b"HTTP/1.1 413 ")
    writer.close()


async def test_a_body_of_just_the_limit_is_taken(endpoint: Endpoint) -> None:
    body = text()
    assert (await endpoint.post(body + " " * (256 * 1024 - len(body)))).text == "received"
    assert (await endpoint.post(body + " " * (256 * 1024 - len(body) + 1))).status_code == 413


async def test_a_compressed_body_is_not_unpacked(endpoint: Endpoint) -> None:
    body, now = text(), int(time.time())
    header = sign(body, SECRET, now)
    answer = await endpoint.post(gzip.compress(body.encode()), header, **{"content-encoding": "gzip"})
    assert answer.status_code == 400


async def test_other_methods_and_paths_are_no_redirects(endpoint: Endpoint) -> None:
    assert (await endpoint.api.http.get(endpoint.api.webhook_url)).status_code == 405
    assert (await endpoint.api.http.post(endpoint.api.webhook_url + "/")).status_code == 404


async def test_while_the_database_is_away_stripe_is_told_to_come_again(endpoint: Endpoint, api: Api) -> None:
    name = api.settings.api_database_url.get_secret_value().rpartition("/")[2]
    # Closes the database's connections, and allows no new ones.
    await api.admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await api.admin(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'")
    assert (await endpoint.post(text())).status_code == 503
    await api.admin(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert (await endpoint.post(text())).text == "received"


async def test_the_answer_waits_for_the_commit_of_the_same_event_elsewhere(endpoint: Endpoint, api: Api) -> None:
    """Until the first one has committed, the second can't say that the event is in the inbox."""
    async with api.transaction() as elsewhere:
        await elsewhere.execute("LOCK TABLE outbox IN EXCLUSIVE MODE")
        answers = [asyncio.create_task(endpoint.post(text())) for _ in range(2)]
        await api.until("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'transactionid'")
        assert not any(answer.done() for answer in answers)
    assert sorted(answer.text for answer in await asyncio.gather(*answers)) == ["duplicate", "received"]


@pytest.mark.parametrize("skew", [-300, 0, 300])
def test_a_timestamp_may_be_off_by_five_minutes(skew: int) -> None:
    now = 1_800_000_000
    assert verify(b"{}", sign("{}", OLD_SECRET, now + skew), secrets=[SECRET, OLD_SECRET], now=now) == 1


@pytest.mark.parametrize("skew", [-301, 301])
def test_a_timestamp_may_not_be_off_by_more(skew: int) -> None:
    now = 1_800_000_000
    with pytest.raises(SignatureRefusedError, match="timestamp"):
        verify(b"{}", sign("{}", SECRET, now + skew), secrets=[SECRET], now=now)


def test_without_a_secret_nothing_is_taken() -> None:
    with pytest.raises(SignatureRefusedError):
        verify(b"{}", sign("{}", "", 1_800_000_000), secrets=["", " "], now=1_800_000_000)
