"""The mail catcher: real SMTP in, pages and JSON out."""

import asyncio
import email.message
from collections.abc import AsyncIterator

import aiosmtplib
import httpx
import pytest

from local_stack.mail_catcher.mailbox import Mailbox
from local_stack.mail_catcher.smtp import serve_smtp
from local_stack.mail_catcher.web import create_app


class Catcher:
    """A running catcher, and a sender's and a reader's way to it."""

    def __init__(self, smtp_port: int, http: httpx.AsyncClient) -> None:
        self.smtp_port = smtp_port
        self.http = http

    def client(self) -> aiosmtplib.SMTP:
        return aiosmtplib.SMTP(hostname="127.0.0.1", port=self.smtp_port, start_tls=False, timeout=5)

    async def send(self, to: str, *, text: str = "Hello", html: str = "") -> None:
        async with self.client() as client:
            await client.send_message(mail(to, text=text, html=html))

    async def ledger(self, **query: str | int) -> list[dict[str, object]]:
        answer = await self.http.get("/ledger", params=query)
        transactions: list[dict[str, object]] = answer.json()["transactions"]
        return transactions


def mail(to: str, *, text: str = "Hello", html: str = "") -> email.message.EmailMessage:
    message = email.message.EmailMessage()
    message["From"], message["To"], message["Subject"] = "Shop <shop@example.com>", to, "Grüße <b>&"
    message["Message-ID"] = "<fixed@example.com>"
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    return message


@pytest.fixture
async def catcher() -> AsyncIterator[Catcher]:
    mailbox = Mailbox()
    smtp = await serve_smtp(mailbox, "127.0.0.1", 0)
    transport = httpx.ASGITransport(create_app(mailbox))
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as http:
        yield Catcher(smtp.sockets[0].getsockname()[1], http)
    smtp.close()


async def test_a_mail_that_was_sent_is_listed_with_its_text_html_and_source(catcher: Catcher) -> None:
    await catcher.send("ann@example.com", text="Read http://example.com/x.", html="<p>Read</p>")

    answer = await catcher.http.get("/mails", params={"to": "ANN@example.com", "wait": 5})

    [shown] = answer.json()["mails"]
    assert shown["recipients"] == ["ann@example.com"]
    assert shown["subject"] == "Grüße <b>&"
    assert shown["text"].strip() == "Read http://example.com/x."
    assert shown["html"].strip() == "<p>Read</p>"
    source = await catcher.http.get(f"/mails/{shown['id']}/source")
    assert "Message-ID: <fixed@example.com>" in source.text


async def test_a_reader_waits_for_a_mail_that_comes_later(catcher: Catcher) -> None:
    waiting = asyncio.create_task(catcher.http.get("/mails", params={"to": "bob@example.com", "wait": 10}))

    await catcher.send("ann@example.com")
    await catcher.send("bob@example.com")

    assert [shown["recipients"] for shown in (await waiting).json()["mails"]] == [["bob@example.com"]]


async def test_nothing_in_a_mail_is_trusted_by_the_page(catcher: Catcher) -> None:
    hostile = "<script>alert(1)</script>"
    await catcher.send("ann@example.com", text=f"{hostile} https://example.com/?a=1&b=2", html=f"<p>{hostile}</p>")

    text = await catcher.http.get("/mail/1", params={"view": "text"})
    source = await catcher.http.get("/mail/1", params={"view": "source"})
    html = await catcher.http.get("/mails/1/html")

    assert hostile not in text.text
    assert "<b>&" not in text.text
    assert 'href="https://example.com/?a=1&amp;b=2"' in text.text
    assert hostile not in source.text
    assert "sandbox" in html.headers["Content-Security-Policy"]
    assert "allow-scripts" not in html.headers["Content-Security-Policy"]


async def test_a_page_of_another_site_cannot_read_the_mails_under_its_own_name(catcher: Catcher) -> None:
    answer = await catcher.http.get("/mails", headers={"Host": "attacker.example"})

    assert answer.status_code == 400


async def test_a_held_mail_is_taken_when_it_is_released(catcher: Catcher) -> None:
    await catcher.http.post("/hold", json={"seconds": 60})
    sending = asyncio.create_task(catcher.send("ann@example.com"))
    [held] = await catcher.ledger(outcome="held", wait=5)
    assert held["mail_id"] is None
    assert (await catcher.http.get("/mails")).json()["mails"] == []

    await catcher.http.delete("/hold")

    await sending
    assert [entry["outcome"] for entry in await catcher.ledger()] == ["accepted"]


async def test_a_mail_whose_sender_dies_while_it_is_held_is_not_taken(catcher: Catcher) -> None:
    await catcher.http.post("/hold", json={"seconds": 60, "to": "ann@example.com"})
    client = catcher.client()
    await client.connect()
    sending = asyncio.create_task(client.send_message(mail("ann@example.com")))
    await catcher.ledger(outcome="held", wait=5)

    client.close()

    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await sending
    assert len(await catcher.ledger(outcome="abandoned", wait=5)) == 1
    await catcher.send("ann@example.com")
    assert [entry["outcome"] for entry in await catcher.ledger()] == ["abandoned", "accepted"]
    assert (await catcher.http.get("/mails")).json()["newest_id"] == 1


async def test_a_hold_for_one_address_lets_the_others_pass(catcher: Catcher) -> None:
    await catcher.http.post("/hold", json={"seconds": 60, "to": "ann@example.com"})

    await catcher.send("bob@example.com")

    assert [entry["outcome"] for entry in await catcher.ledger()] == ["accepted"]


async def test_an_empty_box_says_what_will_show_up(catcher: Catcher) -> None:
    page = await catcher.http.get("/")

    assert "No mail yet" in page.text


@pytest.mark.parametrize(("path", "status"), [("/mails/7", 404), ("/mail/7", 404), ("/mails?after=x", 400)])
async def test_what_is_not_there_or_not_understood_is_refused(catcher: Catcher, path: str, status: int) -> None:
    assert (await catcher.http.get(path)).status_code == status


async def test_the_mails_can_be_thrown_away_and_the_ledger_stays(catcher: Catcher) -> None:
    await catcher.send("ann@example.com")

    await catcher.http.delete("/mails")

    assert (await catcher.http.get("/mails")).json()["mails"] == []
    assert len(await catcher.ledger()) == 1
