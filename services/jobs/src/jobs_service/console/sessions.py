"""Who is logged in: a caller's token, sealed in a cookie. Nothing is kept in the console."""

import base64
import hashlib
from collections.abc import Sequence
from datetime import timedelta

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from starlette.requests import Request
from starlette.responses import Response


class Sessions:
    """Begins, reads and ends sessions."""

    def __init__(self, keys: Sequence[bytes], lifetime: timedelta, origin: str | None) -> None:
        """Takes the keys that seal sessions, the first for new ones, and where browsers find the console."""
        self._seal = MultiFernet([Fernet(base64.urlsafe_b64encode(hashlib.sha256(key).digest())) for key in keys])
        self._seconds = round(lifetime.total_seconds())
        self._origin = origin
        self._secure = origin is not None and origin.startswith("https:")
        self._cookie = "__Host-headrace" if self._secure else "headrace"

    def begin(self, response: Response, token: str) -> None:
        """Logs somebody in."""
        response.set_cookie(
            self._cookie,
            self._seal.encrypt(token.encode()).decode(),
            max_age=self._seconds,
            httponly=True,
            secure=self._secure,
            samesite="lax",
        )

    def end(self, response: Response) -> None:
        """Logs somebody out, in this browser."""
        response.delete_cookie(self._cookie, httponly=True, secure=self._secure, samesite="lax")

    def token(self, request: Request) -> str | None:
        """The token of whoever is logged in; None where nobody is, or not any more."""
        sealed = request.cookies.get(self._cookie, "")
        try:
            return self._seal.decrypt(sealed.encode(), ttl=self._seconds).decode()
        except InvalidToken:
            return None

    def comes_from_here(self, request: Request) -> bool:
        """Whether a form was posted by a page of the console; any other page may only send links here.

        Every browser names the page's origin with what it posts
        (https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/Origin).
        """
        here = self._origin or f"{request.url.scheme}://{request.headers.get('host', '')}"
        return request.headers.get("origin", "").lower() == here.lower()
