"""The schema: what the migrations make is what the models say, and any number of replicas may run them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import NullPool
from typer.testing import CliRunner

from api_service import migrate
from api_service.database import sqlalchemy_url
from api_service.models import metadata


def test_migrations_and_models_agree(database: str) -> None:
    migrate.up(database)
    with create_engine(sqlalchemy_url(database), poolclass=NullPool).connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_constraints_have_the_names_that_the_models_give_them(database: str) -> None:
    migrate.up(database)
    with psycopg.connect(database) as connection:
        rows = connection.execute(
            "select conname from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'"
            " and conrelid <> 'alembic_version'::regclass"
        ).fetchall()
    made = {row[0] for row in rows}
    # A key that is an index, and a check, as PostgreSQL's own naming has it.
    assert {"users_pkey", "users_email_key_key", "one_time_tokens_purpose_check", "mails_token_id_fkey"} <= made


def test_of_many_replicas_one_migrates_and_the_others_find_nothing_to_do(database: str) -> None:
    with ThreadPoolExecutor(6) as threads:
        applied = list(threads.map(lambda _: migrate.up(database), range(6)))
    assert sorted(map(len, applied))[:5] == [0] * 5
    assert max(applied, key=len)[0] == "0001_api"
    assert migrate.status(database) == (migrate.head(), [])


PLANTED = """
import sqlalchemy as sa
from alembic import op

revision, down_revision, branch_labels, depends_on = "0002_planted", "0001_api", None, None


def upgrade() -> None:
    op.add_column("users", sa.Column("colour", sa.Text))
"""


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A second revision, as a coming release may bring one."""
    (tmp_path / "0002_planted.py").write_text(PLANTED)
    original = migrate._config

    def config(connection: Connection | None = None) -> Config:
        made = original(connection)
        own = Path(made.get_main_option("script_location") or "") / "versions"
        made.set_main_option("version_locations", f"{own}{os.pathsep}{tmp_path}")
        made.set_main_option("path_separator", "os")
        return made

    monkeypatch.setattr(migrate, "_config", config)
    migrate._revisions.cache_clear()
    yield
    migrate._revisions.cache_clear()


def test_a_later_revision_is_applied_to_a_database_that_has_the_earlier_one(
    database: str, request: pytest.FixtureRequest
) -> None:
    assert migrate.up(database) == ["0001_api"]
    request.getfixturevalue("planted")
    assert migrate.status(database) == ("0001_api", ["0002_planted"])
    assert not migrate.serves("0001_api")
    assert migrate.up(database) == ["0002_planted"]
    assert migrate.status(database) == ("0002_planted", [])


def test_a_schema_of_a_later_release_serves_and_one_of_an_earlier_does_not() -> None:
    assert migrate.serves(migrate.head())
    assert migrate.serves("9999_from_the_future")
    assert not migrate.serves(None)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, database: str) -> Any:
    monkeypatch.delenv("API_DATABASE_URL", raising=False)
    monkeypatch.setenv("API_MIGRATION_DATABASE_URL", database)
    return lambda *arguments: CliRunner().invoke(migrate.app, arguments)


def test_status_says_what_is_missing_and_up_brings_it(command: Any) -> None:
    before = command("status")
    assert before.exit_code == 1
    assert "0001_api" in before.output
    assert "applied 0001_api" in command("up").output
    after = command("status")
    assert after.exit_code == 0
    assert "missing: nothing" in after.output
    assert "up to date" in command("up").output


def test_the_role_of_the_server_is_granted_what_it_needs_and_no_more(
    command: Any, database: str, postgres: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = f"api_server_{uuid4().hex[:8]}"
    monkeypatch.setenv("API_DATABASE_ROLE", role)
    with psycopg.connect(database, autocommit=True) as owner:
        owner.execute(f"create role {role} login")
        try:
            assert command("up").exit_code == 0
            with psycopg.connect(postgres.dsn(database.rpartition("/")[2], user=role), autocommit=True) as server:
                server.execute("insert into mail_cooldowns values ('\\x00', 'reset', now())")
                assert server.execute("select version_num from alembic_version").fetchone() == (migrate.head(),)
                server.execute("select nextval('stripe_fetch_sequence')")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    server.execute("drop table users")
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    server.execute("create table t ()")
        finally:
            owner.execute(f"drop owned by {role}")
            owner.execute(f"drop role {role}")


def test_a_database_that_is_away_is_said_in_one_sentence(
    command: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("API_MIGRATION_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    answer = command("up")
    assert answer.exit_code == 1
    assert "not reachable" in answer.output
    assert "Traceback" not in answer.output
