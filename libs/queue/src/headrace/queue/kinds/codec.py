"""What encodes, decodes and checks the payloads of a kind."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Protocol

from headrace.redaction import Secret

if TYPE_CHECKING:
    from google.protobuf.descriptor import Descriptor


class Codec(Protocol):
    """Encodes, decodes and checks the payloads of one kind."""

    @property
    def fields(self) -> frozenset[str]:
        """The names of the payload's fields."""

    @property
    def descriptor(self) -> Descriptor | None:
        """The payload's protobuf message; None if it is JSON."""

    def compile_rules(self) -> None:
        """Prepares the rules now, so that the first job doesn't wait for it."""

    def encode(self, payload: Any) -> bytes:
        """Returns the bytes to store. Raises PayloadUnreadableError if the payload can't be encoded."""

    def decode(self, data: bytes) -> Any:
        """Returns the message for a handler. Raises PayloadUnreadableError."""

    def check(self, data: bytes) -> Any:
        """Returns the message if it keeps its kind's rules. Raises PayloadUnreadableError and PayloadInvalidError."""

    def canonical_fields(self, message: Any, fields: Collection[str] | None) -> bytes:
        """Returns these fields of a message, None for all, as bytes that are equal exactly if the fields are."""

    def canonical_bytes(self, data: bytes, message: Any) -> bytes:
        """Returns a payload, whose message is given, as bytes that don't depend on the order of maps and sets."""

    def secrets(self, message: Any) -> Iterable[Secret]:
        """Returns the redacted values of a message."""

    def redacted(self, data: bytes) -> tuple[bytes, tuple[str, ...]]:
        """Returns a payload without its redacted values, and their paths. Raises PayloadUnreadableError."""
