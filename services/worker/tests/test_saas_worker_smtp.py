"""The way of a mail to a real SMTP server, and what each of its answers means."""

# ruff: noqa: ARG002, N802 - aiosmtpd calls its handler by these names, with all of these.

import asyncio
import datetime
import ipaddress
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from saas.jobs.v1.worker_support_pb2 import RenderedMail
from saas_worker.outbound.smtp import MailNotSentError, MailRejectedError, MailSender, MailServer


class Mailbox:
    """An aiosmtpd handler that answers as it is told, and keeps what it took."""

    def __init__(self) -> None:
        self.answers: dict[str, str] = {}
        self.on_data: Callable[[SMTP], Awaitable[str]] | None = None
        self.taken: list[Envelope] = []

    async def handle_MAIL(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        return self.answers.get("RCPT", "250 OK")

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.on_data is not None:
            return await self.on_data(server)
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("2"):
            self.taken.append(envelope)
        return answer

    async def handle_QUIT(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        return self.answers.get("QUIT", "221 Bye")


@asynccontextmanager
async def smtp_server(mailbox: Mailbox, **options: Any) -> AsyncIterator[int]:
    connections: list[SMTP] = []

    def connect() -> SMTP:
        connections.append(SMTP(mailbox, hostname="mail.test", **options))
        return connections[-1]

    server = await asyncio.get_running_loop().create_server(connect, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for connection in connections:
            if connection.transport is not None:
                connection.transport.close()


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
async def port(mailbox: Mailbox) -> AsyncIterator[int]:
    async with smtp_server(mailbox) as port:
        yield port


def sender_to(port: int, *, timeout: float = 5, tls: ssl.SSLContext | None = None, **server: Any) -> MailSender:
    return MailSender(MailServer("127.0.0.1", port, **server), timeout=timedelta(seconds=timeout), tls=tls)


def mail(**changes: Any) -> RenderedMail:
    mail = RenderedMail(
        to="bob@post.example",
        subject="Bestätigen Sie",
        text="Hallo Bob\n.\nhttps://shop.example/verify?token=t",
        html="<p>Hallo Bob</p>",
        message_id="<m1@shop.example>",
    )
    setattr(mail, "from", "Shop <no-reply@shop.example>")
    mail.MergeFrom(RenderedMail(**changes))
    mail.date.FromDatetime(datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.UTC))
    return mail


async def test_a_mail_arrives_with_its_own_id_date_text_and_html(port: int, mailbox: Mailbox) -> None:
    await sender_to(port).send(mail(), within=5)
    [envelope] = mailbox.taken
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@shop.example", ["bob@post.example"])
    got = message_from_bytes(envelope.content or b"", policy=policy.default)  # type: ignore[arg-type]
    assert (got["From"], got["To"], got["Subject"]) == (
        "Shop <no-reply@shop.example>",
        "bob@post.example",
        "Bestätigen Sie",
    )
    assert (got["Message-ID"], got["Date"]) == ("<m1@shop.example>", "Tue, 24 Nov 2026 12:00:00 +0000")
    text, html = got.get_body(("plain",)), got.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().splitlines() == ["Hallo Bob", ".", "https://shop.example/verify?token=t"]
    assert html.get_content().splitlines() == ["<p>Hallo Bob</p>"]


async def test_every_attempt_sends_the_very_same_bytes(port: int, mailbox: Mailbox) -> None:
    for _ in range(2):
        await sender_to(port).send(mail(), within=5)
    assert mailbox.taken[0].content == mailbox.taken[1].content


async def test_a_provider_that_knows_repeated_mails_is_given_the_same_key_each_time(
    port: int, mailbox: Mailbox
) -> None:
    for _ in range(2):
        await sender_to(port, idempotency_header="Resend-Idempotency-Key").send(mail(), within=5)
    keys = [message_from_bytes(sent.content or b"")["Resend-Idempotency-Key"] for sent in mailbox.taken]  # type: ignore[arg-type]
    assert keys == ["m1@shop.example", "m1@shop.example"]


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_5xx_about_this_mail_is_final(port: int, mailbox: Mailbox, step: str) -> None:
    mailbox.answers[step] = "550 5.1.1 <bob@post.example> unknown"
    with pytest.raises(MailRejectedError, match=r"550 5\.1\.1 <<recipient>> unknown"):
        await sender_to(port).send(mail(), within=5)


@pytest.mark.parametrize("step", ["MAIL", "RCPT", "DATA"])
async def test_a_4xx_is_not_final(port: int, mailbox: Mailbox, step: str) -> None:
    mailbox.answers[step] = "451 4.7.1 greylisted"
    with pytest.raises(MailNotSentError, match="451"):
        await sender_to(port).send(mail(), within=5)


async def test_any_2xx_to_the_content_is_success(port: int, mailbox: Mailbox) -> None:
    mailbox.answers["DATA"] = "252 queued for another time"
    await sender_to(port).send(mail(), within=5)
    assert len(mailbox.taken) == 1


async def test_an_error_on_quit_after_the_mail_was_taken_is_success(port: int, mailbox: Mailbox) -> None:
    mailbox.answers["QUIT"] = "421 too late"
    await sender_to(port).send(mail(), within=5)
    assert len(mailbox.taken) == 1


async def test_a_connection_that_breaks_before_the_answer_to_the_content_is_not_final(
    port: int, mailbox: Mailbox
) -> None:
    async def drop(server: SMTP) -> str:
        assert isinstance(server.transport, asyncio.Transport)
        server.transport.abort()
        return "250 never seen"

    mailbox.on_data = drop
    with pytest.raises(MailNotSentError, match="dropped the connection"):
        await sender_to(port).send(mail(), within=5)


@pytest.mark.parametrize(("limit", "within"), [(0.2, 60.0), (60.0, 0.2)], ids=["own limit", "the job's time"])
async def test_a_server_that_keeps_silent_is_left_in_time(
    port: int, mailbox: Mailbox, limit: float, within: float
) -> None:
    left = asyncio.Event()

    async def wait(server: SMTP) -> str:
        await left.wait()
        return "250 too late"

    mailbox.on_data = wait
    with pytest.raises(MailNotSentError):
        await sender_to(port, timeout=limit).send(mail(), within=within)
    left.set()


async def test_a_server_that_is_away_is_not_final() -> None:
    async with smtp_server(Mailbox()) as port:
        pass
    with pytest.raises(MailNotSentError, match=f"127.0.0.1:{port} is not usable"):
        await sender_to(port).send(mail(), within=5)


async def test_a_header_that_would_smuggle_another_one_in_is_refused(port: int, mailbox: Mailbox) -> None:
    with pytest.raises(MailRejectedError, match="headers"):
        await sender_to(port).send(mail(subject="Hi\r\nBcc: all@post.example"), within=5)
    assert mailbox.taken == []


@pytest.mark.parametrize("to", ["jörg@post.example", "joerg@jörg.example", "bob", "a@b.example, c@d.example"])
async def test_an_address_that_is_none_is_refused(port: int, mailbox: Mailbox, to: str) -> None:
    with pytest.raises(MailRejectedError):
        await sender_to(port).send(mail(to=to), within=5)
    assert mailbox.taken == []


class Authority:
    """A certificate for 127.0.0.1 that vouches for itself."""

    def __init__(self, folder: Path) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mail.test")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(
                x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(key, hashes.SHA256())
        )
        self.certificate = folder / "certificate.pem"
        self.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file = folder / "key.pem"
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(self.certificate, key_file)


@pytest.fixture
async def strict_port(mailbox: Mailbox, tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    """A server that wants STARTTLS, then a login."""

    def login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=(data.login, data.password) == (b"shop", b"right"), handled=False)

    authority = Authority(tmp_path)
    async with smtp_server(
        mailbox,
        tls_context=authority.server,
        require_starttls=True,
        auth_required=True,
        auth_require_tls=True,
        authenticator=login,
    ) as port:
        yield port, authority.certificate


async def test_starttls_and_login_are_used_when_configured(
    strict_port: tuple[int, Path], mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    port, certificate = strict_port
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    await sender_to(port, starttls=True, username="shop", password="right").send(mail(), within=5)
    assert len(mailbox.taken) == 1


async def test_a_wrong_password_is_not_the_mails_fault(strict_port: tuple[int, Path], mailbox: Mailbox) -> None:
    port, certificate = strict_port
    trusting = ssl.create_default_context(cafile=certificate)
    with pytest.raises(MailNotSentError, match="535"):
        await sender_to(port, starttls=True, username="shop", password="wrong", tls=trusting).send(mail(), within=5)


async def test_a_certificate_that_nobody_vouches_for_gets_no_mail(
    strict_port: tuple[int, Path], mailbox: Mailbox
) -> None:
    port, _ = strict_port
    with pytest.raises(MailNotSentError, match="certificate verify failed"):
        await sender_to(port, starttls=True, username="shop", password="right").send(mail(), within=5)
    assert mailbox.taken == []


async def test_a_server_without_starttls_gets_no_mail_when_it_is_required(port: int, mailbox: Mailbox) -> None:
    with pytest.raises(MailNotSentError, match="STARTTLS"):
        await sender_to(port, starttls=True).send(mail(), within=5)
    assert mailbox.taken == []
