"""The errors of accounts. Their texts are safe to show, and none reveals whether an address is known."""

from __future__ import annotations


class TokenInvalidError(Exception):
    """A one-time token that is unknown, used, superseded or expired."""


class CredentialsInvalidError(Exception):
    """A wrong address or password, or an unconfirmed address; the error doesn't say which."""


class PasswordRefusedError(Exception):
    """A rejected password; the text says why.

    Attributes:
        field: The password's field in the request.
    """

    def __init__(self, why: str, *, field: str) -> None:
        super().__init__(why)
        self.field = field


class HashingBusyError(Exception):
    """Too many passwords wait to be hashed; retry after a moment."""
