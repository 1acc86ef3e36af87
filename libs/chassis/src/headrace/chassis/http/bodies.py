"""Small bodies of HTTP requests, from whoever sends them: no more is read, and no longer, than they may take."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

FORM_LIMIT = 16 * 1024
"""Bytes of a posted form."""
BODY_TIMEOUT = timedelta(seconds=10)
"""How long a body may take to come."""


class BodyTooLargeError(Exception):
    """A body has more bytes than it may have."""


async def read_body(request: Request, limit: int) -> bytes:
    """Reads a body of at most `limit` bytes as it is on the wire: a compressed one is not unpacked.

    Raises:
        BodyTooLargeError: It has more.
        TimeoutError: It took longer than `BODY_TIMEOUT`.
        ClientDisconnect: The client went away in the middle of it.
    """
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT.total_seconds()):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError
    return bytes(body)


async def read_form(request: Request) -> dict[str, str] | None:
    """Reads the fields of a posted form, the first value of each; None for a body that is no such form.

    It may have `FORM_LIMIT` bytes and ten fields.
    """
    try:
        fields = parse_qs((await read_body(request, FORM_LIMIT)).decode(), max_num_fields=10)
    except (BodyTooLargeError, TimeoutError, ClientDisconnect, ValueError):
        return None
    return {name: values[0] for name, values in fields.items()}
