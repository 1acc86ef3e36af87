"""How long a queue's line is, as far as somebody needs to know who limits it."""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection
from psycopg.rows import dict_row

from headrace.queue.statements import DEFAULT_SCHEMA, statement


async def count_in_line(
    connection: AsyncConnection[Any], queue: str, *, limit: int, schema: str = DEFAULT_SCHEMA
) -> int:
    """How many jobs of a queue stand in line (are available), but at most `limit`: it doesn't look any further.

    Scheduled and retryable jobs are not in line before their time.
    """
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(statement("count_in_line", schema), {"queue": queue, "limit": limit})
        [row] = await cursor.fetchall()
    jobs: int = row["jobs"]
    return jobs
