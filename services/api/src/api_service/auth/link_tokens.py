"""Links in emails, derived instead of stored: the token in a link is HMAC-SHA-256(key, purpose and token id).

The database contains neither tokens nor keys, and every attempt to send an email writes the same link.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, field
from enum import StrEnum
from uuid import UUID

MINIMUM_KEY_BYTES = 32


class Purpose(StrEnum):
    """The purpose of a one-time token. A token is valid only for its purpose."""

    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - a purpose, not a password


class LinkKeyMissingError(LookupError):
    """A link needs a key that is no longer in API_LINK_KEYS."""

    def __init__(self, key_id: str) -> None:
        super().__init__(
            f"API_LINK_KEYS has no key {key_id!r}, but the link of an unsent email needs it: add the key again"
        )
        self.key_id = key_id


@dataclass(frozen=True, slots=True)
class LinkKeys:
    """Named keys; the first one is for new links, the others for links that are already sent."""

    keys: dict[str, bytes] = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> LinkKeys:
        """Reads "id:base64,id:base64".

        Raises:
            ValueError: The text says what is wrong, without any key.
        """
        keys: dict[str, bytes] = {}
        for number, entry in enumerate(filter(None, map(str.strip, text.split(","))), start=1):
            key_id, colon, encoded = entry.partition(":")
            if not colon or not key_id:
                raise ValueError(f'entry {number}: expected "id:base64"')
            if key_id in keys:
                raise ValueError(f"entry {number}: the id {key_id!r} is used twice")
            try:
                key = base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise ValueError(f"key {key_id!r} is not base64") from error
            if len(key) < MINIMUM_KEY_BYTES:
                raise ValueError(f"key {key_id!r} has {len(key)} bytes; expected {MINIMUM_KEY_BYTES} or more")
            keys[key_id] = key
        if not keys:
            raise ValueError('expected at least one key, "id:base64"')
        return cls(keys)

    @property
    def current(self) -> str:
        """The id of the key for new links."""
        return next(iter(self.keys))

    def token(self, key_id: str, purpose: Purpose, token_id: UUID) -> str:
        """Returns the token in the link: 256 bits in 43 URL-safe characters.

        Raises:
            LinkKeyMissingError: The key has been removed from the settings.
        """
        try:
            key = self.keys[key_id]
        except KeyError:
            raise LinkKeyMissingError(key_id) from None
        digest = hmac.digest(key, f"{purpose}:{token_id}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def at_rest(token: str) -> bytes:
    """Returns what is stored of a token, to recognise it: its SHA-256."""
    return hashlib.sha256(token.encode()).digest()
