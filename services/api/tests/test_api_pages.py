"""The pages behind links in emails: a GET shows, a POST acts, and the token doesn't leak."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from grpc import StatusCode

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused


def hidden_token(page: httpx.Response) -> str:
    """What the page's form would send."""
    match = re.search(r'name="token" value="([^"]+)"', page.text)
    assert match is not None
    return match[1]


async def test_looking_at_a_link_uses_nothing_up_and_pressing_the_button_does(api: Api, refused: Refused) -> None:
    await api.register()
    [token] = await api.tokens("verify_email")
    for _ in range(3):
        page = await api.http.get("/verify", params={"token": token})
        assert page.status_code == 200
    with refused(StatusCode.UNAUTHENTICATED):
        await api.login()

    done = await api.http.post("/verify", data={"token": hidden_token(page)})
    assert done.status_code == 200
    assert "Address confirmed" in done.text
    await api.login()
    again = await api.http.post("/verify", data={"token": token})
    assert again.status_code == 404
    assert "doesn&#39;t work" in again.text


async def test_a_new_password_is_chosen_on_the_page(api: Api) -> None:
    await api.registered()
    await api.request_reset()
    [token] = await api.tokens("reset_password")
    page = await api.http.get("/reset", params={"token": token})

    weak = await api.http.post("/reset", data={"token": hidden_token(page), "password": "password123"})
    assert weak.status_code == 422
    assert 'role="alert"' in weak.text

    done = await api.http.post(
        "/reset", data={"token": hidden_token(weak), "password": "zw\u00f6lf gr\u00fcne & Kessel"}
    )
    assert done.status_code == 200
    await api.login(password="zw\u00f6lf gr\u00fcne & Kessel")


@pytest.mark.parametrize("path", ["/verify", "/reset"])
async def test_a_page_keeps_its_token_to_itself(api: Api, path: str) -> None:
    page = await api.http.get(path, params={"token": "<script>alert(1)</script>"})
    assert "<script>" not in page.text
    assert page.headers["referrer-policy"] == "no-referrer"
    assert page.headers["cache-control"] == "no-store"
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "frame-ancestors 'none'" in policy
    assert "set-cookie" not in page.headers


@pytest.mark.parametrize("path", ["/verify", "/reset"])
@pytest.mark.parametrize("body", [b"", b"token=", b"\xff\xfe", b"a=1&" * 100, b"token=" + b"x" * 20_000], ids=range(5))
async def test_a_form_without_a_token_is_told_so(api: Api, path: str, body: bytes) -> None:
    assert (await api.http.get(path)).status_code == 400
    assert (await api.http.post(path, content=body)).status_code == 400


async def test_an_unknown_token_on_the_reset_page_is_told_so(api: Api) -> None:
    answer = await api.http.post("/reset", data={"token": "unknown", "password": "eleven green kettles"})
    assert answer.status_code == 404


async def test_the_links_host_is_the_settings_whatever_the_request_says(api: Api) -> None:
    await api.register()
    [mail_id] = await api.mail_ids("verify_email")
    await api.http.get("/verify?token=x", headers={"host": "evil.example"})
    assert "evil" not in (await api.render(mail_id)).mail.text


async def test_stripe_sends_users_back_to_pages_that_are_there(api: Api) -> None:
    for path in ("/checkout/complete", "/checkout/cancelled"):
        assert (await api.http.get(path)).status_code == 200
