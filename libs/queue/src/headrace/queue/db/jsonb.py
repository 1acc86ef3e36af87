"""JSON text that goes into a jsonb column: what handlers say about their jobs, checked before it is sent anywhere.

Postgres refuses some of what `json.dumps` writes, and one bad value would spoil the batch that it travels in.
"""

from __future__ import annotations

import json
from typing import Any


def encoded(value: Any, *, what: str, limit: int) -> str:
    """A value as JSON text.

    Args:
        value: Anything that `json.dumps` takes.
        what: What it is, for the error's text: "the output".
        limit: The most bytes that it may have.

    Raises:
        TypeError: The value is none of JSON's.
        ValueError: It is too large, or holds what jsonb can't: NaN, infinities, NUL, halves of surrogate pairs.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds half of a surrogate pair, which can't be stored") from None
    except TypeError as error:
        raise TypeError(f"{what} is not JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"{what} is not JSON: {error}") from None
    if size > limit:
        raise ValueError(f"{what} has {size} bytes; the limit is {limit}. Keep content elsewhere and give its id")
    # Without escaped backslashes, what looks like an escaped NUL is one.
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError(f"{what} holds a NUL character, which can't be stored")
    return text
