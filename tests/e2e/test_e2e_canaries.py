"""A journey with recognisable values, through a mail server that quotes what it rejects.

Afterwards they are looked for in every table of both databases, in every line that any program has logged, in every
span that was exported, and on every page of the console. docs/privacy.md says which places hold what; this test says
that it is true.
"""

from __future__ import annotations

import asyncio
import re
import smtplib
import socket
from collections.abc import Iterator
from concurrent import futures
from dataclasses import replace
from typing import Any

import grpc
import httpx
import psycopg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import Envelope
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc
from psycopg.sql import SQL, Identifier

from headrace.jobs.v1 import job_pb2
from local_stack.journey.account import Person, get_account, login, register
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer, link_in
from local_stack.journey.forms import Form
from local_stack.journey.waiting import eventually
from local_stack.output.report import check
from local_stack.stack.programs import PRICE
from local_stack.stack.system import Options, System
from saas.auth.v1 import auth_service_pb2 as auth
from saas.billing.v1 import billing_service_pb2 as billing

pytestmark = pytest.mark.e2e

WITHIN = 60.0


class Indiscreet:
    """A mail server that rejects each email once, quoting the recipient and the email, and then forwards it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._seen: set[str] = set()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Envelope) -> str:  # noqa: N802
        """Called by aiosmtpd."""
        assert isinstance(envelope.content, bytes)
        text = envelope.content.decode()
        found = re.search(r"^Message-ID: (.*)$", text, re.MULTILINE | re.IGNORECASE)
        assert found is not None
        if found[1] not in self._seen:
            self._seen.add(found[1])
            link = re.search(r"https?://\S+", text)
            return f"451 4.2.0 {envelope.rcpt_tos[0]} is busy, keep your {link[0] if link else text[-200:].split()[0]}"
        await asyncio.to_thread(self._pass_on, envelope)
        return "250 OK"

    def _pass_on(self, envelope: Envelope) -> None:
        with smtplib.SMTP("127.0.0.1", self._port) as catcher:
            catcher.sendmail(str(envelope.mail_from), envelope.rcpt_tos, envelope.content or b"")


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Keeps the spans that it is sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []

    def Export(self, request: Any, _context: Any) -> Any:  # noqa: N802
        """Called by gRPC."""
        self.spans += [s for resource in request.resource_spans for scope in resource.scope_spans for s in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


@pytest.fixture(scope="module")
def collector() -> Iterator[tuple[Collector, str]]:
    """A collector and its URL."""
    kept = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(4))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(kept, server)  # type: ignore[no-untyped-call]
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield kept, f"http://127.0.0.1:{port}"
    server.stop(0)


@pytest.fixture(scope="module")
def system(collector: tuple[Collector, str]) -> Iterator[System]:
    """The system, with a worker that sends emails through the indiscreet server, and spans sent to the collector."""
    environment = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector[1],
        "OTEL_TRACES_SAMPLER": "always_on",
        "JOBS_RETRY_BASE": "200ms",
        "JOBS_RETRY_FACTOR": "2",
        "JOBS_RETRY_CAP": "3s",
        # The first one runs before the api is up.
        "JOBS_KIND_OVERRIDES": '{"saas.jobs.v1.ReconcileStripe": {"max_retries": 30}}',
        "LOG_LEVEL": "DEBUG",
    }
    with System(Options(jaeger=False, environment=environment)) as running:
        catcher = int(running.address("mail-smtp").rpartition(":")[2])
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        indiscreet = Controller(Indiscreet(catcher), hostname="127.0.0.1", port=port)
        indiscreet.start()
        try:
            spec = running.part("worker-1").spec
            for name in ("worker-1", "worker-2"):
                running.stop_part(name)
            running.add_part(replace(spec, name="worker-3", environment={**spec.environment, "SMTP_PORT": str(port)}))
            yield running
        finally:
            indiscreet.stop()
        assert running.deaths == []


PERSON = Person("canary.ada@example.com", "canary-password-1")
NEW_PASSWORD = "canary-password-2"


def journey(clients: Clients) -> dict[str, str]:
    """Registers, confirms, logs in, forgets the password, pays; returns what must be seen nowhere, by what it is."""
    register(clients, PERSON)
    verify = link_in(clients.mails(PERSON.email, wait=WITHIN)[0], "/verify")
    Form(clients.browser.get(verify).raise_for_status()).submit(clients.browser).raise_for_status()
    old_token = login(clients, PERSON)
    clients.auth.RequestPasswordReset(auth.RequestPasswordResetRequest(email=PERSON.email), timeout=RPC_TIMEOUT)
    reset = link_in(clients.mails(PERSON.email, count=2, wait=WITHIN)[-1], "/reset")
    page = clients.browser.get(reset).raise_for_status()
    Form(page).submit(clients.browser, password=NEW_PASSWORD).raise_for_status()
    token = login(clients, Person(PERSON.email, NEW_PASSWORD))
    request = billing.CreateCheckoutSessionRequest(price_id=PRICE, client_key="one")
    session = clients.billing.CreateCheckoutSession(request, metadata=bearer(token), timeout=RPC_TIMEOUT)
    clients.stripe.post("/_control/pay", json={"session": session.session_id}).raise_for_status()
    clients.stripe.post("/_control/deliver", json={"duplicate": True, "shuffle": True}).raise_for_status()
    eventually(
        lambda: check(get_account(clients, token).subscription_status == "active", "the subscription is not active"),
        within=WITHIN,
    )
    clients.mails(PERSON.email, count=3, wait=WITHIN)
    eventually(clients.check_jobs_done, within=WITHIN)
    return {
        "password": PERSON.password,
        "new password": NEW_PASSWORD,
        "verify token": verify.partition("token=")[2],
        "reset token": reset.partition("token=")[2],
        "access token": token,
        "old access token": old_token,
    }


def dump(url: str) -> dict[str, str]:
    """Every column of every table that has a text in it, as COPY writes them."""
    columns = """
        select table_schema, table_name, column_name from information_schema.columns
        join information_schema.tables using (table_schema, table_name)
        where table_schema not in ('pg_catalog', 'information_schema') and table_type = 'BASE TABLE'
            and is_generated = 'NEVER'
    """
    found = {}
    with psycopg.connect(url) as connection:
        for schema, table, column in connection.execute(columns).fetchall():
            query = SQL("copy {}.{} ({}) to stdout").format(*map(Identifier, (schema, table, column)))
            with connection.cursor().copy(query) as copy:
                text = b"".join(map(bytes, copy)).decode()
            # COPY writes bytes in hex: as such they are looked at, and as what they say.
            read = b"\n".join(map(bytes.fromhex, re.findall(r"^\\\\x([0-9a-f]+)$", text, re.MULTILINE)))
            found[f"{table}.{column}"] = text + read.decode(errors="replace")
    return found


@pytest.fixture(scope="module")
def secrets(system: System) -> dict[str, str]:
    """What must be seen nowhere, once the journey is over and every program has said all that it had to say."""
    clients = Clients(system)
    try:
        told = journey(clients)
        errors = [error.message for job in clients.list_jobs() for error in job.errors]
        states = {job.state for job in clients.list_jobs()}
        PAGES.update(walk_through_the_console(system))
    finally:
        clients.close()
    assert states == {job_pb2.JOB_STATE_COMPLETED}
    # The mail server did quote what it got, in each email's first attempt.
    assert len([message for message in errors if "is busy, keep your [redacted]" in message]) >= 2, errors
    assert all(len(secret) > 10 for secret in told.values())
    return told


PAGES: dict[str, str] = {}
"""What the console showed afterwards, by its address."""


def walk_through_the_console(system: System) -> dict[str, str]:
    """Opens every page that a page links to, as the operator."""
    url = system.url("console-http")
    seen: dict[str, str] = {}
    with httpx.Client(base_url=url, headers={"origin": url}, follow_redirects=True, trust_env=False) as browser:
        login = browser.post("/login", data={"token": system.credentials.operator_token}).raise_for_status()
        waiting = {"/", *LINK.findall(login.text)}
        while waiting:
            page = waiting.pop()
            seen[page] = browser.get(page).raise_for_status().text
            waiting |= set(LINK.findall(seen[page].replace("&amp;", "&"))) - seen.keys()
    return seen


LINK = re.compile(r'href="(/[^"]*)"')


def test_no_page_of_the_console_shows_one(secrets: dict[str, str]) -> None:
    jobs = [page for page in PAGES if re.fullmatch(r"/jobs/\d+", page)]
    assert len(jobs) >= 5
    assert any("is busy, keep your [redacted]" in PAGES[page] for page in jobs)
    assert places(PAGES, {**secrets, "email": PERSON.email}) == set()


EMAIL_IS_KEPT_IN = {"users.email", "users.email_key", "stripe_inbox.body"}
"""Columns of the api's database that hold an address: the account's, and what Stripe says of a customer."""


def test_the_jobs_database_holds_none_of_them(system: System, secrets: dict[str, str]) -> None:
    kept = dump(system.plan.databases.dsn("jobs_owner", "jobs"))
    assert kept["jobs.errors"].count("is busy") >= 2
    assert places(kept, {**secrets, "email": PERSON.email}) == set()


def test_the_apis_database_holds_the_address_where_it_belongs_and_nothing_else(
    system: System, secrets: dict[str, str]
) -> None:
    kept = dump(system.plan.databases.dsn("api_owner", "api"))
    assert places(kept, secrets) == set()
    assert {place for place, _ in places(kept, {"email": PERSON.email})} <= EMAIL_IS_KEPT_IN


def test_no_program_has_logged_one(system: System, secrets: dict[str, str]) -> None:
    for name in ("api", "jobs-console", "jobs-server", "worker-3"):
        system.stop_part(name)
    logs = {path.stem: path.read_text(errors="replace") for path in system.logs.glob("*.log")}
    logs["postgres"] = system.postgres.log_file.read_text(errors="replace")
    # Helpers of this stack play other people's programs.
    ours = {name: text for name, text in logs.items() if not name.startswith(("mail", "stripe"))}
    assert {"api", "jobs-console", "jobs-server", "worker-3"} <= set(ours)
    lines = {f"{name}: {line}": line for name, text in ours.items() for line in text.splitlines()}
    assert places(lines, {**secrets, "email": PERSON.email}) == set()


def test_no_span_holds_one(system: System, collector: tuple[Collector, str], secrets: dict[str, str]) -> None:
    spans = collector[0].spans
    names = {span.name for span in spans}
    assert {"process email", "saas.auth.v1.AuthService/Register", "smtp send"} <= names
    by_name = {f"{span.name} {span.span_id.hex()}": str(span) for span in spans}
    assert places(by_name, {**secrets, "email": PERSON.email}) == set()


def places(kept: dict[str, str], secrets: dict[str, str]) -> set[tuple[str, str]]:
    """Where something stands that must not, and what."""
    return {
        (place, what)
        for place, text in kept.items()
        for what, secret in secrets.items()
        if secret.lower() in text.lower() or secret.encode().hex() in text
    }
