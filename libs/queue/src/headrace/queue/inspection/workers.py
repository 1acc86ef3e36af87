"""Reads workers: which there are, their state, and what they report with each heartbeat."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, both

# A heartbeat comes every second, or half a second later where one failed.
SILENT_AFTER = timedelta(seconds=3)


class WorkerState(StrEnum):
    """The state of a worker."""

    LIVE = "live"
    """Its heartbeat comes, and its event loop runs."""
    HUNG = "hung"
    """Its heartbeat comes, but its event loop is blocked. No other worker runs its jobs."""
    SILENT = "silent"
    """Its heartbeat has stopped, and no other worker has declared it dead yet."""
    DEAD = "dead"
    """It was declared dead, and its jobs were released to other workers."""
    STOPPED = "stopped"
    """It was stopped in an orderly way."""


@dataclass(frozen=True)
class WorkerInfo:
    """A worker, which is one process from its start to its end, as it was read. Times are the database's."""

    id: int
    name: str
    state: WorkerState
    queues: tuple[str, ...]
    kinds: Mapping[str, int]
    """The kinds that it knows, with the highest version of each that it runs."""
    started_at: datetime
    beat_at: datetime
    """Its last heartbeat."""
    silence: timedelta
    """How long ago that was."""
    hung_since: datetime | None
    running: int | None
    """How many jobs it ran at its last heartbeat. None: it has not reported yet."""
    slots: int
    """How many it runs at once."""
    enabled: bool
    """Whether it claims jobs."""
    rates: Mapping[str, float]
    """How many attempts of each queue it ends per second, over about the last minute."""


def list_workers_plan(*, include_gone: bool = False, schema: str = DEFAULT_SCHEMA) -> Plan[list[WorkerInfo]]:
    """Returns workers, newest first: those that are live, hung or silent.

    Args:
        include_gone: Whether to include those that stopped or died within the last day.
        schema: The installation's schema.
    """
    rows = yield Query(statement("list_workers", schema), {"gone": include_gone}, alone=True)
    return [_read(row) for row in rows]


list_workers, list_workers_async = both(list_workers_plan)


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
