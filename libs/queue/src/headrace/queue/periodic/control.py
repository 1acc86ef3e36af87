"""What a person may do to periodic jobs at run time: make, change, pause, resume, delete, list.

A definition that workers declare in code can be changed, too: the change stands until the code says something new. One
that is deleted comes back when a worker that declares it starts: pause it instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from psycopg import AsyncConnection

from headrace.queue.db.statements import DEFAULT_SCHEMA, rows
from headrace.queue.errors import PeriodicExistsError, PeriodicNotFoundError
from headrace.queue.kinds.kind import Kinds
from headrace.queue.periodic.definition import MissedTicks, Periodic, schedule
from headrace.queue.periodic.schedule import Schedule


@dataclass(frozen=True)
class PeriodicJob:
    """A periodic job as it stood when it was read. Times are the database's."""

    name: str
    kind: str
    payload: bytes
    every: timedelta | None
    cron: str | None
    time_zone: str
    missed: MissedTicks
    window: timedelta | None
    declared: bool
    """Whether workers declare it in code: it ticks while one of them runs."""
    last_at: datetime | None
    """Its last tick, made up for or skipped."""
    paused_at: datetime | None
    paused_by: str | None
    next_runs: tuple[datetime, ...]
    """Its next ticks, the first of which may be due already; none while it is paused."""


async def create_periodic(
    connection: AsyncConnection[Any], periodic: Periodic, *, kinds: Kinds, schema: str = DEFAULT_SCHEMA
) -> PeriodicJob:
    """Makes a periodic job. It ticks while any worker runs that knows its kind.

    Raises:
        PeriodicExistsError: There is one of that name.
        EnqueueError: The payload is of an unknown kind, or breaks its kind's rules.
    """
    params = {**periodic.row(kinds), "next_at": periodic.first_tick(await _now(connection, schema))}
    made = await rows(connection, "create_periodic", params, schema=schema)
    if not made:
        raise PeriodicExistsError(periodic.name)
    return _read(made[0])


async def update_periodic(
    connection: AsyncConnection[Any], periodic: Periodic, *, kinds: Kinds, schema: str = DEFAULT_SCHEMA
) -> PeriodicJob:
    """Gives the periodic job of that name a new definition. A changed schedule counts from now on.

    Raises:
        PeriodicNotFoundError: There is none of that name.
        EnqueueError: The payload is of an unknown kind, or breaks its kind's rules.
    """
    params = {**periodic.row(kinds), "next_at": periodic.next_tick(await _now(connection, schema))}
    return await _one(connection, "update_periodic", periodic.name, params, schema)


async def pause_periodic(
    connection: AsyncConnection[Any], name: str, *, by: str, schema: str = DEFAULT_SCHEMA
) -> PeriodicJob:
    """Stops the ticks of a periodic job; what it would have made meanwhile is not made up for.

    Raises:
        PeriodicNotFoundError: There is none of that name.
    """
    return await _one(connection, "pause_periodic", name, {"by": by}, schema)


async def resume_periodic(connection: AsyncConnection[Any], name: str, *, schema: str = DEFAULT_SCHEMA) -> PeriodicJob:
    """Lets a periodic job tick again: the next time is the first one after now.

    Raises:
        PeriodicNotFoundError: There is none of that name.
    """
    async with connection.transaction():
        before = await get_periodic(connection, name, schema=schema)
        now = await _now(connection, schema)
        next_at = schedule(before.every, before.cron, before.time_zone, origin=before.last_at or now).after(now)
        return await _one(connection, "resume_periodic", name, {"next_at": next_at}, schema)


async def delete_periodic(connection: AsyncConnection[Any], name: str, *, schema: str = DEFAULT_SCHEMA) -> None:
    """Forgets a periodic job; the jobs that it has made stay.

    Raises:
        PeriodicNotFoundError: There is none of that name.
    """
    if not await rows(connection, "delete_periodic", {"name": name}, schema=schema):
        raise PeriodicNotFoundError(name)


async def get_periodic(
    connection: AsyncConnection[Any], name: str, *, runs: int = 1, schema: str = DEFAULT_SCHEMA
) -> PeriodicJob:
    """One periodic job, with its next ticks, at most `runs` of them.

    Raises:
        PeriodicNotFoundError: There is none of that name.
    """
    found = await rows(connection, "list_periodic", {"name": name}, schema=schema)
    if not found:
        raise PeriodicNotFoundError(name)
    return _read(found[0], runs)


async def list_periodic(
    connection: AsyncConnection[Any], *, runs: int = 1, schema: str = DEFAULT_SCHEMA
) -> list[PeriodicJob]:
    """All periodic jobs by name, each with its next ticks, at most `runs` of them."""
    return [_read(row, runs) for row in await rows(connection, "list_periodic", {"name": None}, schema=schema)]


def _read(row: Mapping[str, Any], runs: int = 1) -> PeriodicJob:
    next_runs: tuple[datetime, ...] = ()
    if row["paused_at"] is None:
        first = row["next_at"]
        ticks = schedule(row["every"], row["cron"], row["time_zone"], origin=first or row["now"])
        first = first or ticks.after(row["now"])
        next_runs = tuple(islice(_from(ticks, first), runs))
    return PeriodicJob(
        name=row["name"],
        kind=row["kind"],
        payload=bytes(row["payload"]),
        every=row["every"],
        cron=row["cron"],
        time_zone=row["time_zone"],
        missed=MissedTicks(row["missed"]),
        window=row["missed_window"],
        declared=row["declared"] is not None,
        last_at=row["last_at"],
        paused_at=row["paused_at"],
        paused_by=row["paused_by"],
        next_runs=next_runs,
    )


def _from(ticks: Schedule, first: datetime) -> Iterator[datetime]:
    while True:
        yield first
        first = ticks.after(first)


async def _now(connection: AsyncConnection[Any], schema: str) -> datetime:
    [row] = await rows(connection, "clock", schema=schema)
    now: datetime = row["now"]
    return now


async def _one(
    connection: AsyncConnection[Any], statement_name: str, name: str, params: dict[str, Any], schema: str
) -> PeriodicJob:
    found = await rows(connection, statement_name, {**params, "name": name}, schema=schema)
    if not found:
        raise PeriodicNotFoundError(name)
    return _read(found[0])
