"""The compose file: it parses, fits the chart, and what it starts with works: secrets, databases, roles."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import yaml

from api_service.settings import ApiSettings
from headrace.chassis.rpc.tokens import token_hash
from headrace.chassis.settings import Settings, load, parse_duration
from headrace.embedded_postgres import EmbeddedPostgres, find_binaries
from jobs_service.callers.file import read_callers
from jobs_service.console.settings import JobsConsoleSettings
from jobs_service.server.settings import JobsServerSettings
from jobs_service.worker.settings import JobsWorkerSettings
from saas_worker.settings import SaasWorkerSettings

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "deploy/compose"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load((COMPOSE / "compose.yaml").read_text(encoding="utf-8"))["services"]
PROGRAMS: dict[str, tuple[type[Settings], ...]] = {
    "api": (ApiSettings,),
    "jobs-server": (JobsServerSettings,),
    "jobs-worker": (JobsWorkerSettings, SaasWorkerSettings),
    "jobs-console": (JobsConsoleSettings,),
}
FILLED_IN = {
    "API_PUBLIC_URL": "https://app.example.com",
    "API_MAIL_FROM": "hello@example.com",
    "STRIPE_SECRET_KEY": "sk_test_1",
    "STRIPE_WEBHOOK_SECRETS": "whsec_1",
    "STRIPE_PRICES": "price_1",
    "SMTP_HOST": "smtp.example.com",
}
_REFERENCE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<word>[^}]*))?\}")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which make-secrets.sh has run."""
    folder = tmp_path_factory.mktemp("compose")
    subprocess.run(["sh", COMPOSE / "make-secrets.sh", folder], check=True, capture_output=True)
    return folder


@pytest.fixture
def dotenv(made: Path) -> dict[str, str]:
    """The .env of that folder, with the empty lines filled in."""
    lines = (made / ".env").read_text(encoding="utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert {name for name, value in given.items() if not value} == set(FILLED_IN)
    return given | FILLED_IN


def interpolated(text: str, variables: Mapping[str, str]) -> str:
    """What compose makes of a value: ${A}, ${A:-default} and ${A:?complaint}."""

    def value(match: re.Match[str]) -> str:
        found = variables.get(match["name"], "")
        assert found or match["kind"] == "-", f"{match['name']} is not set: {match['word']}"
        return found or match["word"]

    return _REFERENCE.sub(value, text)


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_program_accepts_the_environment_that_compose_gives_it(
    made: Path, dotenv: dict[str, str], program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith(("API_", "JOBS_", "SMTP_", "STRIPE_")):
            monkeypatch.delenv(name)
    for name, text in SERVICES[program]["environment"].items():
        value = interpolated(text, dotenv).replace("/run/secrets", str(made / "secrets"))
        known = {field for settings in PROGRAMS[program] for field in settings.model_fields}
        assert name.startswith("OTEL_") or name.lower() in known
        monkeypatch.setenv(name, value)
    for settings in PROGRAMS[program]:
        load(settings)


def test_the_tokens_and_their_hashes_belong_together(made: Path, dotenv: dict[str, str]) -> None:
    hashes = {caller.name: caller.token_sha256 for caller in read_callers(made / "secrets/callers.toml").all}
    assert token_hash(dotenv["API_JOBS_TOKEN"]) in hashes["api"]
    assert token_hash(dotenv["OPERATOR_TOKEN"]) in hashes["operator"]
    assert dotenv["API_WORKER_TOKENS_SHA256"] == token_hash(dotenv["JOBS_API_TOKEN"])


def test_secrets_are_not_made_twice(made: Path) -> None:
    before = (made / ".env").read_bytes()
    again = subprocess.run(["sh", COMPOSE / "make-secrets.sh", made], check=False, capture_output=True, text=True)
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert (made / ".env").read_bytes() == before


def test_both_databases_are_migrated_and_open_to_their_own_roles_only(dotenv: dict[str, str]) -> None:
    with EmbeddedPostgres() as server:
        psql = [str(find_binaries(18) / "psql"), "--no-psqlrc", "--file", str(COMPOSE / "databases.sql"), server.dsn()]
        subprocess.run(psql, env=os.environ | dotenv, check=True, capture_output=True)
        for name, variable, owner in [
            ("api-migrations", "API_MIGRATION_DATABASE_URL", "api_owner"),
            ("jobs-migrations", "JOBS_MIGRATION_DATABASE_URL", "jobs_owner"),
        ]:
            service = SERVICES[name]
            database = name.removesuffix("-migrations")
            given = {key: interpolated(text, dotenv) for key, text in service["environment"].items()}
            environment = given | {variable: server.dsn(database, user=owner)}
            path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
            environment = os.environ | environment | {"PATH": path}
            subprocess.run(service["command"], env=environment, check=True, capture_output=True)
        reached = set()
        for user in ("api_server", "jobs_server", "jobs_worker"):
            for database in ("api", "jobs"):
                with contextlib.suppress(psycopg.OperationalError), psycopg.connect(server.dsn(database, user=user)):
                    reached.add((user, database))
        assert reached == {("api_server", "api"), ("jobs_server", "jobs"), ("jobs_worker", "jobs")}


def test_the_grace_period_is_longer_than_the_drain() -> None:
    for program in PROGRAMS:
        (drain,) = (text for name, text in SERVICES[program]["environment"].items() if name.endswith("_DRAIN_TIMEOUT"))
        assert parse_duration(SERVICES[program]["stop_grace_period"]) == parse_duration(drain) + timedelta(seconds=15)


def test_programs_of_ours_are_restricted_as_in_the_chart() -> None:
    for name in SERVICES.keys() - {"postgres"}:
        service = SERVICES[name]
        assert service["read_only"]
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_every_build_names_a_target_of_the_dockerfile() -> None:
    for service in SERVICES.values():
        if build := service.get("build"):
            recipe = (COMPOSE / build["context"] / build["dockerfile"]).resolve()
            assert re.search(rf"^FROM \S+ AS {build['target']}$", recipe.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_folder_that_the_dockerfile_copies_is_let_into_its_context() -> None:
    recipe = (ROOT / "deploy/docker/Dockerfile").read_text(encoding="utf-8")
    ignored = (ROOT / "deploy/docker/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", recipe, re.MULTILINE)
    assert {f"!{source}" for source in copied} == {line for line in ignored if line.startswith("!")}
    assert all((ROOT / source).exists() for source in copied)
    for command in re.findall(r"^CMD (\[.*\])$", recipe, re.MULTILINE):
        assert json.loads(command)[0] in {"api-server", "jobs-server", "jobs-worker"}
