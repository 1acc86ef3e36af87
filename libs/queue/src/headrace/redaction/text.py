"""Takes values out of texts: what a handler must not say in a log line, an exception, a traceback or a span.

A value is found whole from 4 characters on, also as repr, JSON, text format, URL, HTML and Base64 write it, whatever
its case; and any 16 characters of a longer one, so that a value which is cut, wrapped or quoted in part is found too.
Shorter values are left: a text without every "no" and "42" would say nothing.
"""

from __future__ import annotations

import base64
import html
import json
import re
import urllib.parse
from collections.abc import Callable, Iterator
from contextvars import ContextVar

from google.protobuf import text_encoding
from google.protobuf.message import Message

from headrace.redaction.messages import MASK, Secret, secrets_of

SHORTEST = 4
PIECE = 16
# Longer values are met in pieces rather than in another spelling.
LONGEST_FORM = 256
# From here on it pays to look a text's pieces up in a set of the value's.
LONG_TEXT = 512
Span = tuple[int, int]


class Redactor:
    """The values that a piece of work has in its hands. Knows none at first."""

    __slots__ = ("_find", "_hidden")

    def __init__(self) -> None:
        self._hidden: list[Message | Secret] = []
        self._find: Callable[[str], list[Span]] | None = None

    def redact(self, secret: Message | Secret) -> None:
        """Hides a value from now on, or every redacted value of a message. Costs next to nothing until a text comes."""
        self._hidden.append(secret)
        self._find = None

    def text(self, text: str) -> str:
        """The text with `MASK` in the place of what is hidden."""
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
        """Each value once: the many jobs of one batch may all be somebody's."""
        found: dict[Secret, None] = {}
        for hidden in tuple(self._hidden):
            found |= dict.fromkeys(secrets_of(hidden) if isinstance(hidden, Message) else [hidden])
        return list(found)


_current: ContextVar[Redactor | None] = ContextVar("headrace_veil", default=None)


def begin_redaction() -> Redactor:
    """Begins a piece of work: what it hides is hidden in the calling task, and in the tasks and threads it begins."""
    veil = Redactor()
    _current.set(veil)
    return veil


def current_redactor() -> Redactor | None:
    """The veil of the piece of work that the calling code is a part of."""
    return _current.get()


def redact(secret: Message | Secret) -> None:
    """Hides a value, or the redacted ones of a message, for the rest of this piece of work.

    For what a handler gets hold of beside its payload: the address that a mail goes to, an answer from elsewhere.
    Outside of any piece of work there is nothing to hide it from.
    """
    veil = _current.get()
    if veil is not None:
        veil.redact(secret)


def redacted_text(text: str) -> str:
    """A text without what this piece of work hides."""
    veil = _current.get()
    return text if veil is None else veil.text(text)


def _finder(secrets: list[Secret]) -> Callable[[str], list[Span]]:
    """Finds where in a text these values are."""
    forms = {form for secret in secrets for form in _forms(secret) if SHORTEST <= len(form) <= LONGEST_FORM}
    # The longest first: of two that begin alike, the one that covers more is meant.
    whole = re.compile("|".join(map(re.escape, sorted(forms, key=len, reverse=True))), re.IGNORECASE) if forms else None
    long = [plain.lower() for secret in secrets if len(plain := _plain(secret)) > PIECE]

    def find(text: str) -> list[Span]:
        found = [match.span() for match in whole.finditer(text)] if whole else []
        return [*found, *(span for value in long for span in _pieces(text, value))]

    return find


def _pieces(text: str, value: str) -> Iterator[Span]:
    """Where any `PIECE` characters of a value stand in a text."""
    lowered = text.lower()
    if len(lowered) != len(text):  # a letter of two characters in lower case: the places would not fit any more
        lowered = text
    places = range(len(lowered) - PIECE + 1)
    if len(text) <= LONG_TEXT:
        yield from ((place, place + PIECE) for place in places if lowered[place : place + PIECE] in value)
    else:
        known = {value[place : place + PIECE] for place in range(len(value) - PIECE + 1)}
        yield from ((place, place + PIECE) for place in places if lowered[place : place + PIECE] in known)


def _joined(spans: list[Span]) -> Iterator[Span]:
    """The spans in order, those that touch made one."""
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
    """How a value may be written."""
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
    yield text_encoding.CEscape(data, as_utf8=False)
    yield text_encoding.CEscape(data, as_utf8=True)
    yield urllib.parse.quote(data, safe="")
    yield urllib.parse.quote(data)
    yield urllib.parse.quote_plus(data)
    yield html.escape(text)
    yield data.hex()
    yield base64.b64encode(data).decode().rstrip("=")
    yield base64.urlsafe_b64encode(data).decode().rstrip("=")
