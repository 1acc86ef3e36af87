"""What the service tells of its work: enough to follow it, and never an address, a password or a token."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from eventually import Eventually
from grpc import StatusCode
from sqlalchemy import text

from api_service.auth.models import User
from api_service.database import Database, StatementFailedError
from saas.auth.v1 import auth_service_pb2 as auth_pb

if TYPE_CHECKING:
    from services.api.tests.conftest import Api, Refused


async def test_logs_tell_what_happened_to_whom_without_addresses_passwords_or_tokens(
    api: Api, refused: Refused, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    await api.registered()
    access_token = await api.login()
    await api.account(access_token)
    with refused(StatusCode.UNAUTHENTICATED):
        await api.login(password="not the password")
    await api.request_reset()
    [token] = await api.tokens("reset_password")
    await api.http.get("/reset", params={"token": token})
    await api.http.post(f"/reset?token={token}", data={"token": token, "password": "eleven green kettles"})
    with refused(StatusCode.NOT_FOUND):
        await api.verify(token)

    told = "".join(capfd.readouterr()) + caplog.text
    [user] = await api.rows("SELECT id FROM users")
    for event in ("registration", "email verified", "login refused", "password reset requested", "password reset"):
        assert event in told
    assert str(user["id"]) in told
    for secret in (
        api.email,
        api.email.lower(),
        api.password,
        "eleven green kettles",
        token,
        access_token,
        "$argon2id",
    ):
        assert secret not in told


async def test_a_statement_that_the_database_refuses_is_told_without_what_was_to_be_written(api_database: str) -> None:
    """Postgres says "Failing row contains (…)", SQLAlchemy the parameters; and failures are logged."""
    database = Database(api_database)

    async def write_what_is_refused() -> None:
        async with database.transaction() as session:
            await session.execute(text("ALTER TABLE users ADD CONSTRAINT never CHECK (email = '')"))
            session.add(User(email="Ada@example.com", email_key="ada@example.com"))

    with pytest.raises(StatementFailedError) as failed:
        await write_what_is_refused()
    await database.dispose()

    told = "".join(traceback.format_exception(failed.value))
    assert failed.value.sqlstate == "23514"
    assert "never" in told
    assert "INSERT INTO users" in told
    assert "ada@example.com" not in told.lower()


async def test_a_request_at_the_http_door_has_a_span_of_its_own_without_the_token(
    api: Api, eventually: Eventually, spans: Any
) -> None:
    outside = f"00-{'c' * 32}-{'d' * 16}-01"
    await api.http.get("/verify?token=SECRETTOKEN", headers={"traceparent": outside})
    await api.http.get("/livez")
    await api.http.get("/nowhere")

    def finished(name: str) -> Any:
        return next((span for span in spans.get_finished_spans() if span.name == name), None)

    span = await eventually(lambda: finished("GET /verify"))
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == ["c" * 32]
    assert span.attributes["http.response.status_code"] == 200
    await eventually(lambda: finished("GET"))
    assert finished("GET /livez") is None
    assert not any("SECRETTOKEN" in span.to_json() for span in spans.get_finished_spans())


async def test_the_outsides_trace_context_is_linked_and_the_job_is_made_below_the_call(
    api: Api, eventually: Eventually, spans: Any
) -> None:
    outside = f"00-{'a' * 32}-{'b' * 16}-01"
    request = auth_pb.RegisterRequest(email=api.email, password=api.password)
    await api.auth.Register(request, metadata=(("traceparent", outside),))

    def finished(name: str) -> Any:
        # The client's own span, in this process too, has the same name.
        kinds = {"SERVER", "PRODUCER"}
        return next((s for s in spans.get_finished_spans() if s.name == name and s.kind.name in kinds), None)

    call = await eventually(lambda: finished("saas.auth.v1.AuthService/Register"))
    made = await eventually(lambda: finished("create email"))
    assert call.parent is None
    assert [f"{link.context.trace_id:032x}" for link in call.links] == ["a" * 32]
    assert made.parent.span_id == call.context.span_id


async def test_a_mail_that_is_not_sent_leaves_no_span(api: Api, spans: Any) -> None:
    await api.request_reset("stranger@example.com")
    assert [span.name for span in spans.get_finished_spans() if span.name.startswith("create")] == []
