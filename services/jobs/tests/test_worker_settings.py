"""Settings of the worker, read from the environment and refused by name."""

import os
from datetime import timedelta

import pytest

from jobs_service.worker.program import main
from jobs_service.worker.settings import JobsWorkerSettings

NEEDED = {
    "JOBS_DATABASE_URL": "postgresql://worker@127.0.0.1:1/jobs",
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
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_the_defaults_are_those_of_the_reference(environment: pytest.MonkeyPatch) -> None:
    settings = JobsWorkerSettings()
    assert (settings.jobs_enabled, settings.jobs_worker_count, settings.jobs_max_retries) == (True, 10, 3)
    assert (settings.jobs_timeout, settings.smtp_timeout) == (timedelta(seconds=30), timedelta(seconds=20))
    assert (settings.jobs_queue_slots, settings.smtp_starttls) == ({}, False)
    assert (settings.jobs_listen, settings.jobs_poll_interval) == (True, timedelta(seconds=1))


def test_slots_are_read_by_queue(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("JOBS_QUEUE_SLOTS", "email=6, webhooks=4")
    assert JobsWorkerSettings().jobs_queue_slots == {"email": 6, "webhooks": 4}


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("JOBS_QUEUE_SLOTS", "email", 'JOBS_QUEUE_SLOTS: expected "queue=number"'),
        ("JOBS_QUEUE_SLOTS", "email=0", 'JOBS_QUEUE_SLOTS: expected "queue=number"'),
        ("JOBS_QUEUE_SLOTS", "email=1,email=2", "JOBS_QUEUE_SLOTS: the queue 'email' is named twice"),
        ("JOBS_QUEUE_SLOTS", "email=11", "JOBS_QUEUE_SLOTS: email=11 is more than JOBS_WORKER_COUNT=10"),
        ("JOBS_QUEUE_SLOTS", "mail=1", "JOBS_QUEUE_SLOTS: mail: no such queue; there are email,"),
        ("JOBS_WORKER_COUNT", "many", "JOBS_WORKER_COUNT: "),
        ("JOBS_LISTEN", "perhaps", "JOBS_LISTEN: "),
        ("JOBS_POLL_INTERVAL", "1ms", "JOBS_POLL_INTERVAL: "),
        ("JOBS_RECONCILE_EVERY", "10", "JOBS_RECONCILE_EVERY: expected a duration with its unit"),
        ("JOBS_API_TOKEN", "token\n", "JOBS_API_TOKEN: expected up to 2,048 printable ASCII characters without blanks"),
        ("JOBS_RETRY_CAP", "1s", "JOBS_RETRY_CAP: expected at least JOBS_RETRY_BASE"),
        ("JOBS_HEALTH_ADDRESS", "8081", "JOBS_HEALTH_ADDRESS: "),
        ("SMTP_PORT", "0", "SMTP_PORT: "),
        ("SMTP_IDEMPOTENCY_HEADER", "Bcc: all", "SMTP_IDEMPOTENCY_HEADER: expected the name of a header"),
        ("SMTP_IDEMPOTENCY_HEADER", "Message-Id", "SMTP_IDEMPOTENCY_HEADER: expected the name of a header"),
        ("SMTP_TIMEOUT", "30s", "SMTP_TIMEOUT: expected less than the 30s that an attempt of saas.jobs.v1.Send"),
        ("SMTP_USERNAME", "shop", "SMTP_USERNAME and SMTP_PASSWORD: set both or neither"),
        ("STRIPE_API_BASE", "stripe.example", "STRIPE_API_BASE: "),
        ("JOBS_API_TOKEN", "", "JOBS_API_TOKEN: not set, but required"),
    ],
)
def test_a_bad_value_ends_the_program_with_the_variables_name(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    printed = capsys.readouterr().err
    assert (ended.value.code, printed.count("\n")) == (2, 1), printed
    assert printed.startswith(told)
    assert "secret" not in printed
