"""api-outbox: what the jobs service refused for good is listed, and tried again when told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from api_service.outbox_cli import app

PARKED = """
    INSERT INTO outbox (id, kind, queue, version, payload, idempotency_key, attempts, parked_at, last_error)
    VALUES (
        gen_random_uuid(), 'saas.jobs.v1.SendVerificationEmail', 'email', 1, '', %s, 3, now(), 'mail_id: not a UUID'
    )
    RETURNING id::text
"""


@pytest.fixture
def parked(api_database: str) -> list[str]:
    """Two rows that were parked."""
    with psycopg.connect(api_database) as connection:
        rows = [connection.execute(PARKED, [key]).fetchone() for key in ("a", "b")]
    return [row[0] for row in rows if row is not None]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, api_database: str) -> Callable[..., Any]:
    monkeypatch.setenv("API_DATABASE_URL", api_database)
    return lambda *arguments: CliRunner().invoke(app, arguments, env={"COLUMNS": "200"})


def waiting(database: str) -> set[str]:
    with psycopg.connect(database) as connection:
        rows = connection.execute("SELECT id::text FROM outbox WHERE parked_at IS NULL").fetchall()
    return {row[0] for row in rows}


def test_parked_rows_are_listed_with_the_reason(command: Callable[..., Any], parked: list[str]) -> None:
    listed = command("list").output
    assert "2 parked" in listed
    for row_id in parked:
        assert row_id in listed
    assert "mail_id: not a UUID" in listed


def test_one_row_is_tried_again(command: Callable[..., Any], parked: list[str], api_database: str) -> None:
    answer = command("retry", parked[0])
    assert answer.output.strip() == f"retrying {parked[0]}"
    assert waiting(api_database) == {parked[0]}


def test_every_row_is_tried_again_when_that_is_said(
    command: Callable[..., Any], parked: list[str], api_database: str
) -> None:
    assert command("retry").exit_code == 2
    assert command("retry", "--all", parked[0]).exit_code == 2
    assert waiting(api_database) == set()
    assert command("retry", "--all").exit_code == 0
    assert waiting(api_database) == set(parked)


def test_a_database_that_is_away_is_said_in_one_sentence(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    answer = command("list")
    assert answer.exit_code == 1
    assert "is unavailable" in answer.output
