"""Creates, updates, pauses, resumes, deletes and lists periodic jobs at run time.

A definition that workers declare in code can be changed too. The change holds until the declaration in code changes.
One that is deleted is created again when a worker that declares it starts: pause it instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

from headrace.queue.db.statements import DEFAULT_SCHEMA, statement
from headrace.queue.db.transaction import Plan, Query, Row, both
from headrace.queue.errors import PeriodicExistsError, PeriodicNotFoundError
from headrace.queue.kinds.kind import Kinds
from headrace.queue.periodic.definition import MissedTicks, Periodic, schedule
from headrace.queue.periodic.schedule import Schedule


@dataclass(frozen=True)
class PeriodicJob:
    """A periodic job as it was read. Times are the database's."""

    name: str
    kind: str
    payload: bytes
    every: timedelta | None
    cron: str | None
    time_zone: str
    missed: MissedTicks
    window: timedelta | None
    declared: bool
    """Whether workers declare it in code. If so, it ticks while one of these workers runs."""
    last_at: datetime | None
    """Its last tick, whether it enqueued a job or was skipped."""
    paused_at: datetime | None
    paused_by: str | None
    next_runs: tuple[datetime, ...]
    """Its next ticks. The first may be due already. Empty while it is paused."""


def create_periodic_plan(periodic: Periodic, *, kinds: Kinds, schema: str = DEFAULT_SCHEMA) -> Plan[PeriodicJob]:
    """Creates a periodic job. It ticks while any worker runs that knows its kind.

    Raises:
        PeriodicExistsError: There is a periodic job of that name already.
        EnqueueError: The payload is of an unknown kind, or breaks its kind's rules.
    """
    definition = periodic.row(kinds)
    now = yield from _now(schema)
    params = {**definition, "next_at": periodic.first_tick(now)}
    created = yield Query(statement("create_periodic", schema), params)
    if not created:
        raise PeriodicExistsError(periodic.name)
    return _read(created[0])


create_periodic, create_periodic_async = both(create_periodic_plan)


def update_periodic_plan(periodic: Periodic, *, kinds: Kinds, schema: str = DEFAULT_SCHEMA) -> Plan[PeriodicJob]:
    """Gives the periodic job of that name a new definition. A changed schedule counts from now on.

    Raises:
        PeriodicNotFoundError: There is no periodic job of that name.
        EnqueueError: The payload is of an unknown kind, or breaks its kind's rules.
    """
    definition = periodic.row(kinds)
    now = yield from _now(schema)
    params = {**definition, "next_at": periodic.next_tick(now)}
    return (yield from _change("update_periodic", periodic.name, params, schema))


update_periodic, update_periodic_async = both(update_periodic_plan)


def pause_periodic_plan(name: str, *, by: str, schema: str = DEFAULT_SCHEMA) -> Plan[PeriodicJob]:
    """Stops the ticks of a periodic job. Ticks during the pause are not made up for.

    Args:
        name: The periodic job.
        by: Who pauses it. For one that is paused already, the first name is kept.
        schema: The installation's schema.

    Raises:
        PeriodicNotFoundError: There is no periodic job of that name.
    """
    return (yield from _change("pause_periodic", name, {"by": by}, schema))


pause_periodic, pause_periodic_async = both(pause_periodic_plan)


def resume_periodic_plan(name: str, *, schema: str = DEFAULT_SCHEMA) -> Plan[PeriodicJob]:
    """Lets a periodic job tick again. Its next tick is the first one after now.

    Raises:
        PeriodicNotFoundError: There is no periodic job of that name.
    """
    row = yield from _find(name, schema)
    origin = row["last_at"] or row["now"]
    next_at = schedule(row["every"], row["cron"], row["time_zone"], origin=origin).after(row["now"])
    return (yield from _change("resume_periodic", name, {"next_at": next_at}, schema))


resume_periodic, resume_periodic_async = both(resume_periodic_plan)


def delete_periodic_plan(name: str, *, schema: str = DEFAULT_SCHEMA) -> Plan[None]:
    """Deletes a periodic job. The jobs that it has enqueued are kept.

    Raises:
        PeriodicNotFoundError: There is no periodic job of that name.
    """
    if not (yield Query(statement("delete_periodic", schema), {"name": name}, alone=True)):
        raise PeriodicNotFoundError(name)


delete_periodic, delete_periodic_async = both(delete_periodic_plan)


def get_periodic_plan(name: str, *, runs: int = 1, schema: str = DEFAULT_SCHEMA) -> Plan[PeriodicJob]:
    """Returns one periodic job, with its next ticks, at most `runs` of them.

    Raises:
        PeriodicNotFoundError: There is no periodic job of that name.
    """
    row = yield from _find(name, schema, alone=True)
    return _read(row, runs)


get_periodic, get_periodic_async = both(get_periodic_plan)


def list_periodic_plan(*, runs: int = 1, schema: str = DEFAULT_SCHEMA) -> Plan[list[PeriodicJob]]:
    """Returns all periodic jobs by name, each with its next ticks, at most `runs` of them."""
    rows = yield Query(statement("list_periodic", schema), {"name": None}, alone=True)
    return [_read(row, runs) for row in rows]


list_periodic, list_periodic_async = both(list_periodic_plan)


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


def _now(schema: str) -> Plan[datetime]:
    [row] = yield Query(statement("clock", schema), {})
    now: datetime = row["now"]
    return now


def _find(name: str, schema: str, *, alone: bool = False) -> Plan[Row]:
    rows = yield Query(statement("list_periodic", schema), {"name": name}, alone)
    if not rows:
        raise PeriodicNotFoundError(name)
    return rows[0]


def _change(statement_name: str, name: str, params: dict[str, Any], schema: str) -> Plan[PeriodicJob]:
    """Runs a statement that changes one periodic job, and returns the job afterwards."""
    changed = yield Query(statement(statement_name, schema), {**params, "name": name})
    if not changed:
        raise PeriodicNotFoundError(name)
    return _read(changed[0])
