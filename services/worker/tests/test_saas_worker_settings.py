"""Settings of the product's handlers: an invalid one ends the worker with its name."""

import json
import os
from datetime import timedelta
from unittest.mock import Mock

import pytest

from jobs_service.worker import program
from saas_worker.settings import MAIL_KINDS, SaasWorkerSettings

REQUIRED = {
    "JOBS_DATABASE_URL": "postgresql://worker@127.0.0.1:1/jobs",
    "JOBS_HANDLERS": "saas_worker.program:handlers",
    "JOBS_API_TARGET": "127.0.0.1:50053",
    "JOBS_API_TOKEN": "t0ken-that-is-secret",
    "SMTP_HOST": "mail.example",
    "STRIPE_SECRET_KEY": "rk_test_secret",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in os.environ:
        if name.startswith(("JOBS_", "SMTP_", "STRIPE_")):
            monkeypatch.delenv(name)
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    # The process is the tests': the program must not set up its logs and traces.
    monkeypatch.setattr(program, "start_logging", lambda: None)
    monkeypatch.setattr(program, "start_telemetry", lambda *_: Mock())
    return monkeypatch


def test_the_defaults_are_those_of_the_reference(environment: pytest.MonkeyPatch) -> None:
    settings = SaasWorkerSettings()
    assert (settings.smtp_timeout.total_seconds(), settings.smtp_starttls, settings.smtp_port) == (20, False, 587)
    assert settings.jobs_reconcile_every.total_seconds() == 600


def test_a_longer_timeout_of_every_email_kind_allows_a_longer_send(environment: pytest.MonkeyPatch) -> None:
    overrides = {kind.DESCRIPTOR.full_name: {"timeout": "5m"} for kind in MAIL_KINDS}
    environment.setenv("SMTP_TIMEOUT", "4m")
    environment.setenv("JOBS_KIND_OVERRIDES", json.dumps(overrides))
    assert SaasWorkerSettings().smtp_timeout == timedelta(minutes=4)
    overrides.popitem()
    environment.setenv("JOBS_KIND_OVERRIDES", json.dumps(overrides))
    with pytest.raises(ValueError, match="SMTP_TIMEOUT: expected less than 30s"):
        SaasWorkerSettings()


@pytest.mark.parametrize(
    ("name", "value", "printed"),
    [
        ("JOBS_RECONCILE_EVERY", "10", "JOBS_RECONCILE_EVERY: expected a duration with its unit"),
        ("JOBS_API_TOKEN", "token\n", "JOBS_API_TOKEN: expected up to 2,048 printable ASCII characters without blanks"),
        ("JOBS_API_TOKEN", "", "JOBS_API_TOKEN: not set, but required"),
        ("JOBS_API_TLS_KEY", "/key.pem", "JOBS_API_TLS_CERTIFICATE and JOBS_API_TLS_KEY: set both or neither"),
        ("SMTP_PORT", "0", "SMTP_PORT: "),
        ("SMTP_IDEMPOTENCY_HEADER", "Bcc: all", "SMTP_IDEMPOTENCY_HEADER: expected the name of a header"),
        ("SMTP_IDEMPOTENCY_HEADER", "Message-Id", "SMTP_IDEMPOTENCY_HEADER: expected the name of a header"),
        ("SMTP_TIMEOUT", "30s", "SMTP_TIMEOUT: expected less than 30s, the timeout of saas.jobs.v1.Send"),
        ("SMTP_USERNAME", "shop", "SMTP_USERNAME and SMTP_PASSWORD: set both or neither"),
        ("STRIPE_API_BASE", "stripe.example", "STRIPE_API_BASE: "),
        ("JOBS_QUEUE_SLOTS", "mail=1", "JOBS_QUEUE_SLOTS: no handler has the queue mail: use one of email,"),
    ],
)
def test_an_invalid_setting_ends_the_worker_with_the_variables_name(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, printed: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        program.main()
    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (2, 1), error
    assert error.startswith(printed)
    assert "secret" not in error
