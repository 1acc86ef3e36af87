"""What a person may do to jobs and queues: cancel, retry, pause, resume, limit. Each is one statement, and repeatable.

A pause stops claiming only: running jobs finish, and what becomes due gets into line meanwhile.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, rows
from headrace.queue.inspection.queues import read_queue
from headrace.queue.job import Pause, Queue
from headrace.queue.kinds.kind import MAX_QUEUE_LENGTH
from headrace.queue.retention import require_kept

MOST_RUNNING = 2**31 - 1


async def pause_queue(connection: AsyncConnection[Any], queue: str, *, by: str, schema: str = DEFAULT_SCHEMA) -> Queue:
    """Stops the claiming of a queue's jobs; running ones finish. The first to pause it is remembered."""
    return await _queue(connection, "pause_queue", {"queue": queue, "by": by}, schema)


async def resume_queue(connection: AsyncConnection[Any], queue: str, *, schema: str = DEFAULT_SCHEMA) -> Queue:
    """Lets a queue run again, at once."""
    return await _queue(connection, "resume_queue", {"queue": queue}, schema)


async def limit_queue(
    connection: AsyncConnection[Any], queue: str, max_running: int | None, *, schema: str = DEFAULT_SCHEMA
) -> Queue:
    """Sets how many jobs of a queue may run at once, over all processes; None lifts the limit.

    It holds for every claim from now on; running jobs finish. A claim that is on its way in the very moment in which a
    queue gets its first limit may still overstep it.

    Raises:
        ValueError: `max_running` is below 1: to stop a queue, pause it.
    """
    if max_running is not None:
        require_type(f"limit of queue {queue!r}", int, max_running=max_running)
        if max_running < 1:
            raise ValueError(
                f"max_running of queue {queue!r} must be at least 1, not {max_running}; to stop it, pause it"
            )
        if max_running > MOST_RUNNING:
            raise ValueError(f"max_running of queue {queue!r} must be at most {MOST_RUNNING}; None lifts the limit")
    return await _queue(connection, "limit_queue", {"queue": queue, "max_running": max_running}, schema)


async def set_retention(
    connection: AsyncConnection[Any],
    queue: str,
    *,
    completed: timedelta | None = None,
    cancelled: timedelta | None = None,
    discarded: timedelta | None = None,
    quarantined: timedelta | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> Queue:
    """Sets how long a queue's finished jobs are kept, by the state in which they have ended; None means as everywhere.

    Raises:
        ValueError: A time is below 0, or longer than ten years.
    """
    given = {"completed": completed, "cancelled": cancelled, "discarded": discarded, "quarantined": quarantined}
    times = {state: kept for state, kept in given.items() if kept is not None}
    require_kept(f"retention of queue {queue!r}", times)
    own = {state: f"{kept.total_seconds():f} seconds" for state, kept in times.items()}
    params = {"queue": queue, "retention": json.dumps(own) if own else None}
    return await _queue(connection, "set_retention", params, schema)


async def pause_kind(connection: AsyncConnection[Any], kind: str, *, by: str, schema: str = DEFAULT_SCHEMA) -> Pause:
    """Stops the claiming of a kind's jobs, in whatever queue they stand. The first to pause it is remembered."""
    [row] = await rows(connection, "pause_kind", {"kind": kind, "by": by}, schema=schema)
    return Pause("kind", kind, row["paused_at"], row["paused_by"])


async def resume_kind(connection: AsyncConnection[Any], kind: str, *, schema: str = DEFAULT_SCHEMA) -> bool:
    """Lets a kind run again, at once; answers whether it was paused."""
    return bool(await rows(connection, "resume_kind", {"kind": kind}, schema=schema))


async def pause_all(connection: AsyncConnection[Any], *, by: str, schema: str = DEFAULT_SCHEMA) -> Pause:
    """Stops the claiming of all jobs of the installation. The first to do so is remembered."""
    [row] = await rows(connection, "pause_all", {"by": by}, schema=schema)
    return Pause("all", "", row["paused_at"], row["paused_by"])


async def resume_all(connection: AsyncConnection[Any], *, schema: str = DEFAULT_SCHEMA) -> bool:
    """Ends the installation's pause, at once; answers whether there was one. Paused queues and kinds stay paused."""
    return bool(await rows(connection, "resume_all", {}, schema=schema))


async def list_pauses(connection: AsyncConnection[Any], *, schema: str = DEFAULT_SCHEMA) -> list[Pause]:
    """Everything that is paused now: the installation, kinds, queues."""
    return [Pause(**row) for row in await rows(connection, "list_pauses", {}, schema=schema)]


async def _queue(connection: AsyncConnection[Any], name: str, params: dict[str, Any], schema: str) -> Queue:
    queue = params["queue"]
    require_type("queue", str, name=queue)
    if not (1 <= len(queue) <= MAX_QUEUE_LENGTH and queue.isprintable()):
        raise ValueError(f"a queue's name has 1 to {MAX_QUEUE_LENGTH} printable characters: not {queue[:200]!r}")
    [row] = await rows(connection, name, params, schema=schema)
    return read_queue(row)
