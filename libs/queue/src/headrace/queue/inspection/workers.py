"""Reading workers: who they are, how they are, what they say of themselves with each beat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.db.statements import DEFAULT_SCHEMA, rows

# Heartbeat come every second; half a second later where one failed.
SILENT_AFTER = timedelta(seconds=3)


class WorkerState(StrEnum):
    """How a worker is."""

    LIVE = "live"
    """It beats, and its event loop moves."""
    HUNG = "hung"
    """It beats, but its event loop does not move. Its jobs are not run by others."""
    SILENT = "silent"
    """It has stopped beating, and nobody has declared it dead yet."""
    DEAD = "dead"
    """It was declared dead, and what it ran was handed to others."""
    STOPPED = "stopped"
    """It has ended as it should."""


@dataclass(frozen=True)
class WorkerInfo:
    """A worker as it stood when it was read: one process, from its start to its end. Times are the database's."""

    id: int
    name: str
    state: WorkerState
    queues: tuple[str, ...]
    kinds: Mapping[str, int]
    """The kinds that it knows, with the highest version of each that it runs."""
    started_at: datetime
    beat_at: datetime
    """Its last sign of life."""
    silence: timedelta
    """How long ago that was."""
    hung_since: datetime | None
    running: int | None
    """How many jobs it ran at its last beat. None: its version does not say."""
    slots: int | None
    """How many it runs at once. None: its version does not say."""
    enabled: bool
    """Whether it claims jobs."""
    rates: Mapping[str, float]
    """How many attempts of each queue it ends per second, over about the last minute."""


async def list_workers(
    connection: AsyncConnection[Any], *, include_gone: bool = False, schema: str = DEFAULT_SCHEMA
) -> list[WorkerInfo]:
    """Workers, the newest first: those that live or have fallen silent.

    Args:
        connection: In a transaction or not.
        include_gone: Whether those are listed as well that ended or died within the last day.
        schema: The installation's schema.
    """
    return [_read(row) for row in await rows(connection, "list_workers", {"gone": include_gone}, schema=schema)]


def _read(row: Mapping[str, Any]) -> WorkerInfo:
    return WorkerInfo(
        id=row["id"],
        name=row["name"],
        state=_state(row),
        queues=tuple(row["queues"]),
        kinds=dict(zip(row["kinds"], row["versions"], strict=True)),
        started_at=row["started_at"],
        beat_at=row["beat_at"],
        silence=max(row["silence"], timedelta(0)),
        hung_since=row["hung_since"],
        running=row["running"],
        slots=row["slots"],
        enabled=row["enabled"],
        rates=row["rates"] or {},
    )


def _state(row: Mapping[str, Any]) -> WorkerState:
    if row["dead_at"] is not None:
        return WorkerState.DEAD
    if row["stopped_at"] is not None:
        return WorkerState.STOPPED
    if row["silence"] > SILENT_AFTER:
        return WorkerState.SILENT
    return WorkerState.LIVE if row["hung_since"] is None else WorkerState.HUNG
