"""Settings from the environment, read once at start; errors name the variable.

A service declares a subclass of `Settings`, whose field names are the variables' names in lower case, and calls `load`.
Nothing else in a service reads the environment.
"""

import base64
import binascii
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator, BeforeValidator, SecretBytes, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict, SettingsError

USAGE_ERROR = 2
KEY_BYTES = range(16, 65)  # blake2b accepts up to 64


@dataclass(frozen=True)
class Sensitive:
    """Marks a field whose value must never be shown, not even if it is invalid."""


def parse_duration(text: str) -> timedelta:
    """Reads "30s", "500ms", "5m", "1h", "7d" and sums such as "1m30s".

    Raises:
        ValueError: It is anything else, including a number without a unit.
    """
    if not _DURATION.fullmatch(text) or not text:
        raise ValueError('expected a duration with its unit, such as "500ms", "30s", "5m", "1h", "7d" or "1m30s"')
    try:
        return sum((int(number) * _UNITS[unit] for number, unit in _PART.findall(text)), timedelta())
    except OverflowError:
        raise ValueError("expected a shorter duration") from None


def format_duration(value: timedelta) -> str:
    """Formats a duration for `parse_duration`."""
    rest = value // timedelta(milliseconds=1)
    parts = []
    for unit, size in _UNITS.items():
        number, rest = divmod(rest, size // timedelta(milliseconds=1))
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts) or "0s"


_UNITS = {
    "d": timedelta(days=1),
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION = re.compile(r"(\d+d)?(\d+h)?(\d+m(?!s))?(\d+s)?(\d+ms)?", re.ASCII)
_PART = re.compile(r"(\d+)(ms|[dhms])", re.ASCII)


def _read_duration(value: object) -> timedelta:
    if isinstance(value, timedelta):
        return value
    return parse_duration(value.strip() if isinstance(value, str) else "")


def _positive(value: timedelta) -> timedelta:
    if value <= timedelta():
        raise ValueError("expected a duration above zero")
    return value


def _split(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _read_keys(value: object) -> object:
    if not isinstance(value, str):
        return value
    keys = []
    for number, text in enumerate((part.strip() for part in value.split(",")), start=1):
        try:
            key = base64.b64decode(text, validate=True)
        except binascii.Error:
            raise ValueError(f"key {number} is not Base64; create keys with `openssl rand -base64 32`") from None
        if len(key) not in KEY_BYTES:
            raise ValueError(f"key {number} has {len(key)} bytes; expected 16 to 64, 32 are usual")
        keys.append(key)
    return tuple(keys)


def is_sendable(token: str) -> bool:
    """Checks that a header can contain a token: printable ASCII without blanks, short enough for a cookie.

    gRPC hangs on any other character.
    """
    return _TOKEN.fullmatch(token) is not None


_TOKEN = re.compile(r"[\x21-\x7e]{1,2048}")


def _token(value: SecretStr) -> SecretStr:
    if not is_sendable(value.get_secret_value()):
        raise ValueError("expected up to 2,048 printable ASCII characters without blanks; does it end in a line break?")
    return value


def _address(value: str) -> str:
    split_address(value)
    return value


def split_address(address: str) -> tuple[str, int]:
    """Splits "host:port" or "[::1]:port"; port 0 means a free one.

    Raises:
        ValueError: It is not an address.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('expected "host:port" with a port from 0 to 65535, such as "0.0.0.0:8080"')
    return host.removeprefix("[").removesuffix("]"), int(port)


Duration = Annotated[timedelta, BeforeValidator(_read_duration), AfterValidator(_positive)]
"""A duration above zero, with its unit: "30s", "500ms", "1m30s"."""

CommaList = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]
"""A list written "a,b,c"; blanks around items and empty items are ignored."""

SecretKeys = Annotated[tuple[bytes, ...], NoDecode, Sensitive(), BeforeValidator(_read_keys)]
"""Keys of 16 to 64 bytes in Base64, separated by commas; the first one is used."""

Token = Annotated[SecretStr, AfterValidator(_token)]
"""A bearer token for another program."""

Address = Annotated[str, AfterValidator(_address)]
"""An address to listen on: "host:port"."""


class Settings(BaseSettings):
    """The base class of settings. An empty variable counts as unset."""

    model_config = SettingsConfigDict(
        env_ignore_empty=True, extra="ignore", frozen=True, hide_input_in_errors=True, validate_default=False
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """Redacts sensitive values, so that settings may be printed."""
        for name, value in super().__repr_args__():
            field = type(self).model_fields.get(name or "")
            yield name, "***" if field is not None and _is_sensitive(field) else value


S = TypeVar("S", bound=Settings)


def load(settings: type[S]) -> S:
    """Reads the environment; if values are invalid, prints a line for each and exits with code 2."""
    try:
        return settings()
    except ValidationError as error:
        _refuse([_line(settings, entry) for entry in error.errors()])
    except SettingsError as error:
        _refuse([str(error)])


def _refuse(lines: Sequence[str]) -> NoReturn:
    for line in lines:
        print(line, file=sys.stderr)
    raise SystemExit(USAGE_ERROR)


def _line(settings: type[Settings], entry: Any) -> str:
    where: tuple[int | str, ...] = entry["loc"]
    reason = str(entry["msg"]).removeprefix("Value error, ")
    if not where:  # a rule over several variables names them itself
        return reason
    name, inside = str(where[0]), where[1:]
    variable = f"{name.upper()}, at {'.'.join(map(str, inside))}" if inside else name.upper()
    if entry["type"] == "missing":
        return f"{variable}: not set, but required"
    field = settings.model_fields.get(name)
    if field is None or _is_sensitive(field):
        return f"{variable}: {reason}"
    return f"{variable}: {reason}; got {entry['input']!r}"


def _is_sensitive(field: FieldInfo) -> bool:
    if any(isinstance(mark, Sensitive) for mark in field.metadata):
        return True
    return any(secret.__name__ in repr(field.annotation) for secret in (SecretStr, SecretBytes))
