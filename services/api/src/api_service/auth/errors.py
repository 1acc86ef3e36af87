"""What can be refused about accounts. Texts are safe to show; none says whether an address is known."""

from __future__ import annotations


class TokenInvalidError(Exception):
    """A one-time token that is unknown, used, superseded or expired."""


class CredentialsInvalidError(Exception):
    """A wrong pair of address and password, or an address that isn't confirmed: which one is not said."""


class PasswordRefusedError(Exception):
    """A password that may not be chosen; the text says why.

    Attributes:
        field: What the request calls the password.
    """

    def __init__(self, why: str, *, field: str) -> None:
        super().__init__(why)
        self.field = field


class HashingBusyError(Exception):
    """Too many passwords wait to be hashed; trying again shortly may work."""
