"""Removes values from texts: what a handler must not write to a log line, an exception, a traceback or a span.

A value of 4 characters or more is found whole, in any case, and as repr, JSON, protobuf's text format, URLs, HTML and
Base64 write it. So is any run of 16 characters of a longer value, which may be cut, wrapped or quoted in part. Shorter
values are left in place: a text without every "no" and "42" would say nothing.
"""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from google.protobuf.message import Message

Secret = str | bytes | int | float
MASK = "[redacted]"
"""What is written instead of a redacted text."""
SHORTEST = 4
PIECE = 16
# Longer values are searched for in pieces only, not in other spellings.
LONGEST_FORM = 256
# From this length on, looking a text's pieces up in a set of the value's pieces is faster than searching the value.
LONG_TEXT = 512
Span = tuple[int, int]
# How protobuf's text format writes characters and bytes that it escapes. Bytes that are not UTF-8 are decoded to
# U+DC80 to U+DCFF (`surrogateescape`).
_OCTAL = {code: f"\\{code:03o}" for code in (*range(32), *range(127, 256))}
_TEXT_FORMAT = {**_OCTAL, **{ord(char): f"\\{name}" for char, name in zip("\t\n\r\"'\\", "tnr\"'\\", strict=True)}}
_TEXT_FORMAT_UTF8 = {
    **{code: escape for code, escape in _TEXT_FORMAT.items() if code < 128},
    **{0xDC00 + code: escape for code, escape in _OCTAL.items() if code >= 128},
}


class Redactor:
    """Removes the values that it was given from texts. A new one has none."""

    __slots__ = ("_find", "_hidden")

    def __init__(self) -> None:
        self._hidden: list[Message | Secret] = []
        self._find: Callable[[str], list[Span]] | None = None

    def redact(self, secret: Message | Secret) -> None:
        """Removes a value, or every redacted value of a message, from now on. Cheap until the next text comes."""
        self._hidden.append(secret)
        self._find = None

    def text(self, text: str) -> str:
        """Returns the text with `MASK` instead of each redacted value."""
        if not self._hidden or len(text) < SHORTEST:
            return text
        find = self._find
        if find is None:
            find = self._find = _finder(self._secrets())
        written, at = [], 0
        for start, end in _joined(find(text)):
            written += [text[at:start], MASK]
            at = end
        return "".join([*written, text[at:]]) if written else text

    def _secrets(self) -> list[Secret]:
        """Returns each value once: the jobs of one batch may all have the same."""
        found: dict[Secret, None] = {}
        for hidden in tuple(self._hidden):
            found |= dict.fromkeys([hidden] if isinstance(hidden, Secret) else _secrets_of(hidden))
        return list(found)


def _secrets_of(message: Message) -> Iterator[Secret]:
    from headrace.redaction.messages import secrets_of  # noqa: PLC0415  (a message is here, so protobuf is, too)

    return secrets_of(message)


_current: ContextVar[Redactor | None] = ContextVar("headrace_redactor", default=None)


def begin_redaction() -> Redactor:
    """Starts a scope and returns its redactor, which the calling task shares with the tasks and threads it starts."""
    redactor = Redactor()
    _current.set(redactor)
    return redactor


def current_redactor() -> Redactor | None:
    """Returns the redactor of the scope that the calling code runs in, if it runs in one."""
    return _current.get()


def redact(secret: Message | Secret) -> None:
    """Removes a value, or the redacted values of a message, from the texts of the rest of this scope.

    Use it for what a handler obtains apart from its payload: an email address, another service's response. Outside of
    any scope it does nothing.
    """
    redactor = _current.get()
    if redactor is not None:
        redactor.redact(secret)


def redacted_text(text: str) -> str:
    """Returns a text without what this scope redacts."""
    redactor = _current.get()
    return text if redactor is None else redactor.text(text)


def _finder(secrets: list[Secret]) -> Callable[[str], list[Span]]:
    """Returns a function that finds where in a text these values are."""
    forms = {form for secret in secrets for form in _forms(secret) if SHORTEST <= len(form) <= LONGEST_FORM}
    # The longest first: of two that begin alike, the one that covers more is meant.
    whole = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE) if forms else None
    long = [plain.lower() for secret in secrets if len(plain := _plain(secret)) > PIECE]

    def find(text: str) -> list[Span]:
        found = [match.span() for match in whole.finditer(text)] if whole else []
        return [*found, *(span for value in long for span in _pieces(text, value))]

    return find


def _pieces(text: str, value: str) -> Iterator[Span]:
    """Finds where any `PIECE` characters of a value are in a text."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter became two characters, so positions would not match the text
        lowered = text
    places = range(len(lowered) - PIECE + 1)
    if len(text) <= LONG_TEXT:
        yield from ((place, place + PIECE) for place in places if lowered[place : place + PIECE] in value)
    else:
        known = {value[place : place + PIECE] for place in range(len(value) - PIECE + 1)}
        yield from ((place, place + PIECE) for place in places if lowered[place : place + PIECE] in known)


def _joined(spans: list[Span]) -> Iterator[Span]:
    """Merges spans that touch, and returns them in order."""
    start, end = -1, -1
    for first, last in sorted(spans):
        if first > end:
            if end > 0:
                yield start, end
            start, end = first, last
        else:
            end = max(end, last)
    if end > 0:
        yield start, end


def _plain(secret: Secret) -> str:
    if isinstance(secret, bytes):
        return secret.decode(errors="backslashreplace")
    return secret.strip() if isinstance(secret, str) else repr(secret)


def _forms(secret: Secret) -> Iterator[str]:
    """Returns the ways in which a value may be written."""
    text = _plain(secret)
    if len(text) > LONGEST_FORM:
        return
    yield text
    if not isinstance(secret, str | bytes):
        return
    data = secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret
    yield repr(text)[1:-1]
    yield repr(data)[2:-1]
    yield json.dumps(text)[1:-1]
    yield json.dumps(text, ensure_ascii=False)[1:-1]
    yield data.decode("latin-1").translate(_TEXT_FORMAT)
    yield data.decode(errors="surrogateescape").translate(_TEXT_FORMAT_UTF8)
    yield urllib.parse.quote(data, safe="")
    yield urllib.parse.quote(data)
    yield urllib.parse.quote_plus(data)
    yield html.escape(text)
    yield data.hex()
    yield base64.b64encode(data).decode().rstrip("=")
    yield base64.urlsafe_b64encode(data).decode().rstrip("=")
