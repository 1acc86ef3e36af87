"""Settings: read as they are written, refused by the variable's name."""

from datetime import timedelta
from typing import Annotated

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, SecretStr

from headrace.chassis.settings import (
    Address,
    CommaList,
    Duration,
    Sensitive,
    Settings,
    format_duration,
    load,
    parse_duration,
)


class MillSettings(Settings):
    mill_timeout: Duration = timedelta(seconds=30)
    mill_stones: int = Field(default=2, ge=1)
    mill_grains: CommaList = ()
    mill_address: Address = "127.0.0.1:0"
    mill_key: SecretStr = SecretStr("none")
    mill_url: Annotated[int, Sensitive()] = 0


class OwnedSettings(MillSettings):
    mill_owner: str


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30s", timedelta(seconds=30)),
        ("500ms", timedelta(milliseconds=500)),
        ("5m", timedelta(minutes=5)),
        ("1h", timedelta(hours=1)),
        ("7d", timedelta(days=7)),
        ("1m30s", timedelta(seconds=90)),
        ("1d2h3m4s5ms", timedelta(days=1, hours=2, minutes=3, seconds=4, milliseconds=5)),
        ("90m", timedelta(minutes=90)),
    ],
)
def test_a_duration_is_read_with_its_unit(text: str, value: timedelta) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "30", "s", "-5s", "1.5s", "30 s", "30s1m", "5S", "1w", "٣s", "9" * 40 + "d"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a"):
        parse_duration(text)


@given(st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=10_000)))
def test_a_written_duration_is_read_as_the_same(value: timedelta) -> None:
    value -= value % timedelta(milliseconds=1)
    assert parse_duration(format_duration(value)) == value


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILL_TIMEOUT", "1m30s")
    monkeypatch.setenv("MILL_GRAINS", "rye, oats,,")
    monkeypatch.setenv("MILL_ADDRESS", "[::1]:80")
    settings = load(MillSettings)
    assert settings.mill_timeout == timedelta(seconds=90)
    assert settings.mill_grains == ("rye", "oats")
    assert settings.mill_address == "[::1]:80"


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILL_STONES", "")
    assert load(MillSettings).mill_stones == 2


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("MILL_TIMEOUT", "30", ["expected a duration with its unit", "'30'"]),
        ("MILL_TIMEOUT", "0s", ["above zero", "'0s'"]),
        ("MILL_STONES", "two", ["valid integer", "'two'"]),
        ("MILL_STONES", "0", ["greater than or equal to 1", "'0'"]),
        ("MILL_ADDRESS", "8080", ['expected "host:port"', "'8080'"]),
        ("MILL_ADDRESS", "host:99999", ['expected "host:port"']),
    ],
)
def test_a_bad_value_is_refused_with_the_variables_name(
    name: str, value: str, words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        load(MillSettings)
    (line,) = capsys.readouterr().err.splitlines()
    assert ended.value.code == 2
    assert line.startswith(f"{name}: ")
    assert all(word in line for word in words)


def test_every_bad_variable_has_its_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MILL_TIMEOUT", "30")
    with pytest.raises(SystemExit):
        load(OwnedSettings)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["MILL_TIMEOUT", "MILL_OWNER"]
    assert "not set, but required" in lines[1]


def test_a_sensitive_value_is_never_shown(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MILL_URL", "hunter2")
    with pytest.raises(SystemExit):
        load(MillSettings)
    assert "hunter2" not in capsys.readouterr().err
    monkeypatch.setenv("MILL_URL", "31337")
    assert "31337" not in repr(load(MillSettings))
