"""The console in a real Chromium: `make test-browser`. What only a browser does: cookies, origins, content policy."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from headrace.jobs.v1 import jobs_service_pb2 as pb
from local_stack.journey.account import Person, register
from local_stack.journey.clients import RPC_TIMEOUT, Clients, bearer
from local_stack.stack.system import Options, System
from saas.jobs.v1.kinds_pb2 import ReconcileStripe

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """The whole system, after a user's email was sent."""
    with System(Options(jaeger=False)) as running:
        clients = Clients(running)
        try:
            register(clients, Person("browsed@example.com", "a long enough one"))
            clients.mails("browsed@example.com", wait=30)
        finally:
            clients.close()
        yield running


@pytest.fixture
def scheduled(system: System) -> str:
    """A job that waits for tomorrow, by its id."""
    request = pb.EnqueueRequest()
    request.payload.Pack(ReconcileStripe())
    request.run_at.FromDatetime(datetime.now(UTC) + timedelta(days=1))
    clients = Clients(system)
    try:
        operator = bearer(system.credentials.operator_token)
        return str(clients.jobs.Enqueue(request, metadata=operator, timeout=RPC_TIMEOUT).job_id)
    finally:
        clients.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - got by `make test-browser` alone

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> list[str]:
    """What the browser complains of; a test that expects something takes it out."""
    return []


@pytest.fixture
def page(chromium: Any, system: System, complaints: list[str]) -> Iterator[Any]:
    """A page of a browser that has seen nothing yet; whatever it complains of fails the test."""
    context = chromium.new_context(base_url=system.url("console-http"))
    opened = context.new_page()
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    yield opened
    context.close()
    assert complaints == []


@pytest.fixture
def logged_in(page: Any, system: System) -> Any:
    """The same, the operator being logged in."""
    page.goto("/login")
    page.get_by_label("Your token").fill(system.credentials.operator_token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Log out").wait_for()
    return page


def test_one_logs_in_and_comes_to_the_page_one_wanted(page: Any, system: System) -> None:
    page.goto("/jobs?state=completed")
    page.get_by_label("Your token").fill(system.credentials.operator_token)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name=re.compile(r"^\d+$")).first.wait_for()
    assert page.url.endswith("/jobs?state=completed")
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Your token").wait_for()
    page.goto("/jobs")
    assert "/login" in page.url


def test_a_job_is_found_and_its_payload_read(logged_in: Any) -> None:
    logged_in.get_by_role("link", name="Jobs").click()
    logged_in.get_by_label("kind").fill("saas.jobs.v1.SendVerificationEmail")
    logged_in.get_by_role("button", name="Show").click()
    logged_in.get_by_role("link", name=re.compile(r"^\d+$")).first.click()
    logged_in.get_by_text('"mail_id":').wait_for()


def test_a_job_is_cancelled_and_retried(logged_in: Any, scheduled: str) -> None:
    logged_in.goto(f"/jobs/{scheduled}")
    logged_in.get_by_role("button", name="Cancel").click()
    logged_in.get_by_text("cancelled", exact=True).wait_for()
    logged_in.get_by_role("button", name="Retry now").click()
    logged_in.locator(".state").filter(has_text=re.compile("^(available|running|completed)$")).wait_for()
    logged_in.get_by_role("link", name="Audit").click()
    for act in ("CancelJob", "RetryJob"):
        row = logged_in.get_by_role("row").filter(has_text=act).filter(has_text=f"job:{scheduled}")
        row.get_by_role("cell", name="operator").wait_for()


def test_a_queue_is_paused_and_resumed(logged_in: Any) -> None:
    row = logged_in.get_by_role("row").filter(has_text="email")
    row.get_by_role("button", name="Pause").click()
    row.get_by_text("by operator").wait_for()
    row.get_by_role("button", name="Resume").click()
    row.get_by_role("button", name="Pause").wait_for()


def test_another_sites_form_does_nothing(logged_in: Any, system: System, complaints: list[str]) -> None:
    """The cookie goes along with a link from elsewhere, and with nothing that is posted."""
    form = (
        f'<form method="post" action="{system.url("console-http")}/acts/queues/pause">'
        '<input name="name" value="webhooks"><button>Win a prize</button></form>'
    )
    logged_in.route("http://evil.localhost/", lambda route: route.fulfill(body=form, content_type="text/html"))
    logged_in.goto("http://evil.localhost/")
    with logged_in.expect_console_message() as told, logged_in.expect_response("**/acts/queues/pause") as answered:
        logged_in.get_by_role("button", name="Win a prize").click()
    assert answered.value.status == 403
    assert "403" in told.value.text
    complaints.remove(told.value.text)
    logged_in.goto(f"{system.url('console-http')}/")
    logged_in.get_by_role("row").filter(has_text="email").wait_for()
    assert "by operator" not in logged_in.content()
