"""Sessions: the operator's token, encrypted in a cookie. The console stores nothing."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from starlette.requests import Request
from starlette.responses import Response


class Sessions:
    """Starts, reads and ends sessions.

    Args:
        keys: Encrypt sessions; new ones use the first.
        lifetime: How long a session is valid.
        origin: The console's address in browsers; None if it is the address that they connect to.
    """

    def __init__(self, keys: Sequence[bytes], lifetime: timedelta, origin: str | None) -> None:
        self._cipher = MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(key).digest())) for key in keys])
        self._seconds = round(lifetime.total_seconds())
        self._origin = origin
        self._secure = origin is not None and origin.startswith("https:")
        self._cookie = "__Host-headrace" if self._secure else "headrace"

    def begin(self, response: Response, token: str) -> None:
        """Logs an operator in."""
        response.set_cookie(
            self._cookie,
            self._cipher.encrypt(token.encode()).decode(),
            max_age=self._seconds,
            httponly=True,
            secure=self._secure,
            samesite="lax",
        )

    def end(self, response: Response) -> None:
        """Logs the operator out in this browser."""
        response.delete_cookie(self._cookie, httponly=True, secure=self._secure, samesite="lax")

    def token(self, request: Request) -> str | None:
        """Returns the operator's token; None without a valid session."""
        encrypted = request.cookies.get(self._cookie, "")
        try:
            return self._cipher.decrypt(encrypted.encode(), ttl=self._seconds).decode()
        except InvalidToken:
            return None

    def has_own_origin(self, request: Request) -> bool:
        """Reports whether a page of the console sent a form. Other pages may only link to the console.

        Browsers send the page's origin with each form
        (https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Origin).
        """
        own = self._origin or f"{request.url.scheme}://{request.headers.get('host', '')}"
        return request.headers.get("origin", "").lower() == own.lower()
