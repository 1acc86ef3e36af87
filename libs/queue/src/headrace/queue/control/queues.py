"""Pauses and resumes queues, kinds or the whole installation; sets a queue's limit and retention.

A pause stops claiming only: running jobs finish, and jobs that become due meanwhile become available. Each function is
one statement, and can be repeated.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from headrace.queue.arguments import require_type
from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both
from headrace.queue.inspection.queues import read_queue
from headrace.queue.job import Pause, Queue
from headrace.queue.kinds.kind import MAX_QUEUE_LENGTH
from headrace.queue.retention import require_kept

MOST_RUNNING = 2**31 - 1


def pause_queue_plan(queue: str, *, by: str, schema: str = DEFAULT_SCHEMA) -> Plan[Queue]:
    """Stops workers from claiming a queue's jobs. Running jobs finish.

    Args:
        queue: The queue.
        by: Who pauses it. For a queue that is paused already, the first name is kept.
        schema: The installation's schema.
    """
    return (yield from _change("pause_queue", {"queue": queue, "by": by}, schema))


pause_queue, pause_queue_async = both(pause_queue_plan)


def resume_queue_plan(queue: str, *, schema: str = DEFAULT_SCHEMA) -> Plan[Queue]:
    """Ends the pause of a queue, and wakes its workers."""
    return (yield from _change("resume_queue", {"queue": queue}, schema))


resume_queue, resume_queue_async = both(resume_queue_plan)


def limit_queue_plan(queue: str, max_running: int | None, *, schema: str = DEFAULT_SCHEMA) -> Plan[Queue]:
    """Sets how many jobs of a queue may run at once, over all processes. None lifts the limit.

    The limit holds for every later claim; running jobs finish. A claim that is being made at the very moment in which a
    queue gets its first limit may still exceed it.

    Raises:
        ValueError: `max_running` is below 1, or too large. To stop a queue, pause it.
    """
    if max_running is not None:
        require_type(f"limit of queue {queue!r}", int, max_running=max_running)
        if max_running < 1:
            raise ValueError(
                f"max_running of queue {queue!r} must be at least 1, not {max_running}; to stop the queue, pause it"
            )
        if max_running > MOST_RUNNING:
            raise ValueError(f"max_running of queue {queue!r} must be at most {MOST_RUNNING}; None lifts the limit")
    return (yield from _change("limit_queue", {"queue": queue, "max_running": max_running}, schema))


limit_queue, limit_queue_async = both(limit_queue_plan)


def set_retention_plan(
    queue: str,
    *,
    completed: timedelta | None = None,
    cancelled: timedelta | None = None,
    discarded: timedelta | None = None,
    quarantined: timedelta | None = None,
    schema: str = DEFAULT_SCHEMA,
) -> Plan[Queue]:
    """Sets how long a queue's finished jobs are kept, by the state they ended in. None: the workers' setting applies.

    Raises:
        ValueError: A time is below 0, or longer than ten years.
    """
    given = {"completed": completed, "cancelled": cancelled, "discarded": discarded, "quarantined": quarantined}
    times = {state: kept for state, kept in given.items() if kept is not None}
    require_kept(f"retention of queue {queue!r}", times)
    own = {state: f"{kept.total_seconds():f} seconds" for state, kept in times.items()}
    params = {"queue": queue, "retention": json.dumps(own) if own else None}
    return (yield from _change("set_retention", params, schema))


set_retention, set_retention_async = both(set_retention_plan)


def pause_kind_plan(kind: str, *, by: str, schema: str = DEFAULT_SCHEMA) -> Plan[Pause]:
    """Stops workers from claiming a kind's jobs, in every queue. Running jobs finish.

    Args:
        kind: The kind's name. It need not be known to any worker.
        by: Who pauses it. For a kind that is paused already, the first name is kept.
        schema: The installation's schema.
    """
    [row] = yield Query(statement("pause_kind", schema), {"kind": kind, "by": by}, alone=True)
    return Pause("kind", kind, row["paused_at"], row["paused_by"])


pause_kind, pause_kind_async = both(pause_kind_plan)


def resume_kind_plan(kind: str, *, schema: str = DEFAULT_SCHEMA) -> Plan[bool]:
    """Ends the pause of a kind, and wakes the workers. Returns whether it was paused."""
    return bool((yield Query(statement("resume_kind", schema), {"kind": kind}, alone=True)))


resume_kind, resume_kind_async = both(resume_kind_plan)


def pause_all_plan(*, by: str, schema: str = DEFAULT_SCHEMA) -> Plan[Pause]:
    """Stops workers from claiming any job of the installation. Running jobs finish.

    Args:
        by: Who pauses it. For an installation that is paused already, the first name is kept.
        schema: The installation's schema.
    """
    [row] = yield Query(statement("pause_all", schema), {"by": by}, alone=True)
    return Pause("all", "", row["paused_at"], row["paused_by"])


pause_all, pause_all_async = both(pause_all_plan)


def resume_all_plan(*, schema: str = DEFAULT_SCHEMA) -> Plan[bool]:
    """Ends the pause of the installation, and wakes the workers. Queues and kinds that were paused themselves stay so.

    Returns:
        Whether the installation was paused.
    """
    return bool((yield Query(statement("resume_all", schema), {}, alone=True)))


resume_all, resume_all_async = both(resume_all_plan)


def list_pauses_plan(*, schema: str = DEFAULT_SCHEMA) -> Plan[list[Pause]]:
    """Returns everything that is paused now: the installation, kinds, queues."""
    rows = yield Query(statement("list_pauses", schema), {}, alone=True)
    return [Pause(**row) for row in rows]


list_pauses, list_pauses_async = both(list_pauses_plan)


def _change(name: str, params: dict[str, Any], schema: str) -> Plan[Queue]:
    """Runs a statement that changes one queue, and returns the queue afterwards."""
    queue = params["queue"]
    require_type("queue", str, name=queue)
    if not (1 <= len(queue) <= MAX_QUEUE_LENGTH and queue.isprintable()):
        raise ValueError(f"queue name {queue[:200]!r}: use 1 to {MAX_QUEUE_LENGTH} printable characters")
    [row] = yield Query(statement(name, schema), params, alone=True)
    return read_queue(row)
