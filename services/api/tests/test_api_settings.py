"""Settings: a bad value is refused before anything listens, by its variable's name, and secrets are not repeated."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from api_service.settings import ApiSettings, MigrationSettings
from headrace.chassis.settings import load

if TYPE_CHECKING:
    MakeSettings = Callable[..., ApiSettings]

DATABASE = {"API_DATABASE_URL": "postgresql://api:hush@db/api"}
RSA = generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def test_defaults_are_those_of_the_documentation(
    api_environment: MakeSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_MAIL_COOLDOWN", raising=False)
    settings = api_environment(**DATABASE, API_MAIL_COOLDOWN="")
    assert settings.api_mail_cooldown == timedelta(minutes=1)
    assert settings.api_access_token_lifetime == timedelta(minutes=10)
    assert settings.stripe_livemode is False


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("API_DATABASE_URL", "", "not set, but required"),
        ("API_DATABASE_URL", "mysql://hush@db/api", "expected postgresql://"),
        ("API_DATABASE_URL", "db", "expected postgresql://"),
        ("API_DATABASE_POOL_SIZE", "0", "greater than or equal to 1"),
        ("API_DATABASE_TIMEOUT", "5", "with its unit"),
        ("API_GRPC_ADDRESS", "50052", "host:port"),
        ("API_WORKER_TOKENS_SHA256", "hush", "64 lower-case hex digits"),
        ("API_WORKER_TOKENS_SHA256", ",", "at least one"),
        ("API_LINK_KEYS", "hush", 'expected "id:base64"'),
        ("API_LINK_KEYS", "k1:hush!", "not base64"),
        ("API_LINK_KEYS", "k1:aHVzaA==", "has 4 bytes"),
        ("API_LINK_KEYS", f"k1:{'aHVz' * 12},k1:{'aHVz' * 12}", "twice"),
        ("API_ACCESS_TOKEN_KEY", "/no/such/hush.pem", "readable PEM file"),
        ("API_ACCESS_TOKEN_KEY", "-----BEGIN hush-----", "Ed25519 private key in PEM"),
        ("API_ACCESS_TOKEN_KEY", RSA, "not RSAPrivateKey"),
        ("API_ACCESS_TOKEN_LIFETIME", "11m", "at most 10m"),
        ("API_PUBLIC_URL", "app.example.com", "https://host"),
        ("API_PUBLIC_URL", "https://app.example.com/?a", "https://host"),
        ("API_MAIL_FROM", "nobody", "Name <address>"),
        ("API_MAIL_FROM", "a@b.example\nBcc: c@d.example", "Name <address>"),
        ("STRIPE_PRICES", "price_1,price_1", "twice"),
        ("STRIPE_WEBHOOK_SECRETS", "", "not set, but required"),
        ("STRIPE_WEBHOOK_SECRETS", " , ", "at least one secret"),
    ],
)
def test_a_bad_value_is_refused_by_name(
    api_environment: MakeSettings, capsys: pytest.CaptureFixture[str], variable: str, value: str, said: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        api_environment(**{**DATABASE, variable: value})
    assert ended.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{variable}: ")
    assert said in line
    if variable != "API_WORKER_TOKENS_SHA256":  # hashes are no secret
        assert "hush" not in line


def test_the_signing_key_may_be_a_file_or_have_its_lines_escaped(
    api_environment: MakeSettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = api_environment(**DATABASE)
    pem = os.environ["API_ACCESS_TOKEN_KEY"]
    path = tmp_path / "key.pem"
    path.write_text(pem)
    for value in (str(path), pem.replace("\n", "\\n")):
        again = api_environment(**DATABASE, API_ACCESS_TOKEN_KEY=value)
        assert again.api_access_token_key.key_id == first.api_access_token_key.key_id


def test_no_secret_shows_when_settings_are_printed(api_environment: MakeSettings) -> None:
    key = "aHVz" * 12
    printed = repr(
        api_environment(**DATABASE, API_LINK_KEYS=f"k1:{key}", API_JOBS_TOKEN="hush", STRIPE_SECRET_KEY="hush")
    )
    assert "hush" not in printed
    assert "hus" * 3 not in printed
    assert "PRIVATE" not in printed


@pytest.mark.parametrize("settings", [ApiSettings, MigrationSettings])
def test_every_setting_says_what_it_is_for(settings: type[ApiSettings]) -> None:
    for name, field in settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_migrations_need_a_database_to_migrate(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("API_DATABASE_URL", raising=False)
    monkeypatch.delenv("API_MIGRATION_DATABASE_URL", raising=False)
    with pytest.raises(SystemExit):
        load(MigrationSettings)
    assert "API_MIGRATION_DATABASE_URL" in capsys.readouterr().err
