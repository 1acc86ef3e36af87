"""How long a queue's line is, as far as somebody needs to know who limits it."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection

from headrace.queue.statements import DEFAULT_SCHEMA, rows


async def count_in_line(
    connection: AsyncConnection[Any], queue: str, *, limit: int, schema: str = DEFAULT_SCHEMA
) -> int:
    """How many jobs of a queue stand in line (are available), but at most `limit`: it doesn't look any further.

    Scheduled and retryable jobs are not in line before their time.
    """
    [row] = await rows(connection, "count_in_line", {"queue": queue, "limit": limit}, schema=schema)
    jobs: int = row["jobs"]
    return jobs
