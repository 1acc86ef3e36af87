"""Encodes values for jsonb columns, and rejects those that Postgres would reject, before they are sent.

Postgres rejects some of what `json.dumps` writes, and one bad value would fail the whole batch that it is sent with.
"""

from __future__ import annotations

import json
from typing import Any


def encoded(value: Any, *, what: str, limit: int) -> str:
    """Returns a value as JSON text.

    Args:
        value: Anything that `json.dumps` takes.
        what: What the value is, for errors: "the output".
        limit: The most bytes that the text may have.

    Raises:
        TypeError: The value is not JSON.
        ValueError: It is too large, or holds something that jsonb can't: NaN, infinities, NUL, lone surrogates.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError(f"{what} holds a lone surrogate, which can't be stored") from None
    except TypeError as error:
        raise TypeError(f"{what} is not JSON: {error}") from None
    except ValueError as error:
        raise ValueError(f"{what} is not JSON: {error}") from None
    if size > limit:
        raise ValueError(f"{what} has {size} bytes; the limit is {limit}. Store the content elsewhere, and pass its id")
    # Without escaped backslashes, what looks like an escaped NUL is one.
    if "\\u0000" in text.replace("\\\\", ""):
        raise ValueError(f"{what} holds a NUL character, which can't be stored")
    return text
