"""What a kind's payload is encoded, decoded and checked by."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Protocol

from headrace.redaction import Secret


class Codec(Protocol):
    """Writes and reads the payloads of one kind."""

    @property
    def fields(self) -> frozenset[str]:
        """The names of the payload's fields."""

    def compile_rules(self) -> None:
        """Makes the rules ready now, not when the first job arrives."""

    def encode(self, payload: Any) -> bytes:
        """The bytes that are kept. Raises PayloadUnreadableError where the payload can't be written."""

    def decode(self, data: bytes) -> Any:
        """The message, for a handler. Raises PayloadUnreadableError."""

    def check(self, data: bytes) -> Any:
        """The message, if it keeps its kind's rules. Raises PayloadUnreadableError and PayloadInvalidError."""

    def canonical_fields(self, message: Any, fields: Collection[str] | None) -> bytes:
        """These fields of a message, None for all of it, as bytes that are equal where they are."""

    def canonical_bytes(self, data: bytes, message: Any) -> bytes:
        """A payload, and the message that it is, as bytes that are equal where messages are: a map has no order."""

    def secrets(self, message: Any) -> Iterable[Secret]:
        """The values of a message that are not to be seen."""

    def redacted(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """A payload without them, and the paths of what was veiled. Raises PayloadUnreadableError."""
