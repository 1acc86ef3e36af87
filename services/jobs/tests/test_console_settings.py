"""The console's settings: what is wrong is told by the variable's name, and no secret is."""

import base64
from datetime import timedelta

import pytest

from headrace.chassis.settings import load
from jobs_service.console.settings import JobsConsoleSettings

KEY = base64.b64encode(b"k" * 32).decode()
REQUIRED = {"JOBS_CONSOLE_KEYS": KEY, "JOBS_CONSOLE_TARGET": "jobs:50051"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment with what is required."""
    for name, value in REQUIRED.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_nothing_else_is_needed(environment: pytest.MonkeyPatch) -> None:
    settings = load(JobsConsoleSettings)
    assert settings.jobs_console_keys == (b"k" * 32,)
    assert settings.jobs_console_session == timedelta(hours=8)
    assert (settings.tls, settings.jobs_console_origin, settings.jobs_console_trace_url) == (None, None, None)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("https://Jobs.Example.com/", "https://jobs.example.com"),
        ("https://jobs.example.com:443", "https://jobs.example.com"),
        ("http://jobs.example.com:80/", "http://jobs.example.com"),
        ("http://[::1]:80", "http://[::1]"),
        ("https://jobs.example.com:8443", "https://jobs.example.com:8443"),
        ("http://jobs.example.com:443", "http://jobs.example.com:443"),
    ],
)
def test_an_origin_is_taken_as_browsers_write_it(environment: pytest.MonkeyPatch, given: str, written: str) -> None:
    environment.setenv("JOBS_CONSOLE_ORIGIN", given)
    assert load(JobsConsoleSettings).jobs_console_origin == written


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("JOBS_CONSOLE_KEYS", "", "JOBS_CONSOLE_KEYS: not set, but required"),
        ("JOBS_CONSOLE_KEYS", "c2hvcnQ=", "JOBS_CONSOLE_KEYS: key 1 has 5 bytes; expected 16 to 64, 32 are usual"),
        ("JOBS_CONSOLE_KEYS", f"{KEY},no", "JOBS_CONSOLE_KEYS: key 2 is not Base64"),
        ("JOBS_CONSOLE_ORIGIN", "jobs.example.com", "JOBS_CONSOLE_ORIGIN: expected scheme and host only"),
        ("JOBS_CONSOLE_ORIGIN", "https://example.com/jobs", "JOBS_CONSOLE_ORIGIN: expected scheme and host only"),
        ("JOBS_CONSOLE_ORIGIN", "https://me@example.com", "JOBS_CONSOLE_ORIGIN: expected scheme and host only"),
        ("JOBS_CONSOLE_ORIGIN", "https://example.com/#jobs", "JOBS_CONSOLE_ORIGIN: expected scheme and host only"),
        ("JOBS_CONSOLE_TRACE_URL", "https://jaeger", "JOBS_CONSOLE_TRACE_URL: expected a URL with {trace_id} in it"),
        ("JOBS_CONSOLE_SESSION", "30d", "JOBS_CONSOLE_SESSION: "),
        ("JOBS_CONSOLE_SESSION", "400ms", "JOBS_CONSOLE_SESSION: "),
        ("JOBS_CONSOLE_TLS_KEY", "/key.pem", "JOBS_CONSOLE_TLS_CERTIFICATE"),
    ],
)
def test_what_is_wrong_is_told(
    environment: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, value: str, told: str
) -> None:
    environment.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(JobsConsoleSettings)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert told in said
    assert KEY not in said
