"""Small forms, as browsers post them, from whoever posts."""

import asyncio
from datetime import timedelta
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

FORM_LIMIT = 16 * 1024
"""Bytes of a posted form."""
_TIMEOUT = timedelta(seconds=10)


async def read_form(request: Request) -> dict[str, str] | None:
    """Reads the fields of a posted form, the first value of each; None for a body that is no such form.

    Not more than `FORM_LIMIT` bytes, ten fields and ten seconds are spent on it.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(_TIMEOUT.total_seconds()):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_LIMIT:
                    return None
        fields = parse_qs(body.decode(), max_num_fields=10)
    except (TimeoutError, ClientDisconnect, ValueError):
        return None
    return {name: values[0] for name, values in fields.items()}
