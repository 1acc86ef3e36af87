"""Reads small bodies of HTTP requests with limits on size and time."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

FORM_LIMIT = 16 * 1024
"""Bytes of a posted form."""
BODY_TIMEOUT = timedelta(seconds=10)
"""How long receiving a body may take."""


class BodyTooLargeError(Exception):
    """A body exceeds its size limit."""


async def read_body(request: Request, limit: int) -> bytes:
    """Reads a body of at most `limit` bytes as sent, without decompressing it.

    Raises:
        BodyTooLargeError: It is larger.
        TimeoutError: It took longer than `BODY_TIMEOUT`.
        ClientDisconnect: The client disconnected before the end.
    """
    body = bytearray()
    async with asyncio.timeout(BODY_TIMEOUT.total_seconds()):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                raise BodyTooLargeError
    return bytes(body)


async def read_form(request: Request) -> dict[str, str] | None:
    """Reads the fields of a posted form, the first value of each; None if the body isn't a posted form.

    The limits are `FORM_LIMIT` bytes and ten fields.
    """
    try:
        fields = parse_qs((await read_body(request, FORM_LIMIT)).decode(), max_num_fields=10)
    except (BodyTooLargeError, TimeoutError, ClientDisconnect, ValueError):
        return None
    return {name: values[0] for name, values in fields.items()}
