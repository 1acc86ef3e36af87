"""Periodic jobs: their definitions, and which ticks of a definition are due.

Definitions are kept in the database. A worker declares those of its code when it starts. Others are created, and all
are changed and paused, at run time (control.py). The scheduler of every worker ticks them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from headrace.queue.arguments import is_instance, require_type
from headrace.queue.errors import PeriodicInvalidError, Violation
from headrace.queue.kinds.kind import Kinds
from headrace.queue.periodic.schedule import Cron, Interval, Schedule, TimeZoneUnknownError, zone

# A tick that is handled within this time was not missed.
ON_TIME = timedelta(seconds=30)
# How many ticks are made up for in one transaction.
MOST_AT_ONCE = 100
MAX_NAME_LENGTH = 200
LONGEST = timedelta(days=3660)
# Finding the ticks of a missed minute means computing each of them.
SHORTEST = timedelta(milliseconds=100)
_INSTANT = timedelta(microseconds=1)
_SPANS = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))


class MissedTicks(StrEnum):
    """Which ticks are made up for after a time in which no worker ran."""

    SKIP = "skip"
    """None."""
    ONE = "one"
    """The last one."""
    ALL = "all"
    """Each of them, oldest first."""


@dataclass(frozen=True)
class Periodic:
    """A job that is enqueued on a schedule: exactly one job per tick, with any number of workers.

    The job's metadata holds the tick: `{"periodic": name, "scheduled_at": ISO time}`.

    Args:
        name: Unique in the installation. Up to 200 characters.
        payload: The payload of each of its jobs.
        every: The interval between ticks, at least 0.1 s. The first tick is now.
        cron: Instead of `every`, a cron expression: minute hour day month weekday, optionally preceded by seconds.
        time_zone: The time zone of the cron expression, an IANA name. schedule.py documents what clock changes do.
        missed: Which ticks are made up for after a time in which no worker ran. Ticks during a pause never are.
        window: How late a missed tick may be made up for. None: any time.

    Raises:
        PeriodicInvalidError: An argument is invalid; the text names it. It is a ValueError.
    """

    name: str
    _: KW_ONLY
    payload: Any
    every: timedelta | None = None
    cron: str | None = None
    time_zone: str = "UTC"
    missed: MissedTicks = MissedTicks.ONE
    window: timedelta | None = None

    def __post_init__(self) -> None:
        """Rejects invalid definitions."""
        self._require_types()
        for violation in periodic_violations(
            name=self.name,
            every=self.every,
            cron=self.cron,
            time_zone=self.time_zone,
            missed=self.missed,
            window=self.window,
        ):
            raise self._wrong(violation.field, violation.description)

    def _require_types(self) -> None:
        require_type("periodic job", str, name=self.name)
        for field, time in (("every", self.every), ("window", self.window)):
            if time is not None and not is_instance(timedelta, time):
                raise self._wrong(field, f"{field} must be a timedelta, not {time!r}")
        for field, text in (("cron", self.cron or ""), ("time_zone", self.time_zone)):
            if not is_instance(str, text):
                raise self._wrong(field, f"{field} must be text, not {text!r}")

    def _wrong(self, field: str, reason: str) -> PeriodicInvalidError:
        return PeriodicInvalidError(self.name, field, reason)

    def row(self, kinds: Kinds) -> dict[str, Any]:
        """Returns the definition as parameters of the statements that write it. Its payload is validated like a job's.

        Raises:
            KindUnknownError: The payload is not of one of the kinds.
            PayloadUnreadableError: It can't be encoded.
            PayloadInvalidError: It breaks its kind's rules.
        """
        kind = kinds.of(self.payload)
        payload = kind.codec.encode(self.payload)
        kind.codec.check(payload)
        return {
            "name": self.name,
            "kind": kind.name,
            "payload": payload,
            "every": self.every,
            "cron": self.cron,
            "time_zone": self.time_zone,
            "missed": str(self.missed),
            "missed_window": self.window,
        }

    def first_tick(self, now: datetime) -> datetime:
        """Returns the first tick of a new definition: now, or the cron expression's first one after now."""
        return now if self.cron is None else Cron(self.cron, self.time_zone).after(now)

    def next_tick(self, now: datetime) -> datetime:
        """Returns the first tick after now of a definition that was changed or resumed."""
        return schedule(self.every, self.cron, self.time_zone, origin=now).after(now)


def periodic_violations(
    *,
    name: str,
    every: timedelta | None,
    cron: str | None,
    time_zone: str,
    missed: MissedTicks,
    window: timedelta | None,
) -> Iterator[Violation]:
    """Yields everything that is invalid in a definition, apart from its payload."""
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        yield Violation("name", f"name must have 1 to {MAX_NAME_LENGTH} printable characters")
    if (every is None) == (cron is None):
        yield Violation("every", "give either every or cron")
    for field, time, least in (("every", every, SHORTEST), ("window", window, _INSTANT)):
        if time is not None and not least <= time <= LONGEST:
            yield Violation(field, f"{field} must be at least {least} and at most ten years, not {time}")
    if missed is MissedTicks.ALL and window is None:
        yield Violation("window", "missed=ALL needs a window, which bounds how many jobs a long outage leads to")
    try:
        MissedTicks(missed)
    except ValueError as error:
        yield Violation("missed", str(error))
    try:
        zone(time_zone)  # also where there is no cron expression to use it
    except TimeZoneUnknownError as error:
        yield Violation("time_zone", str(error))
        time_zone = "UTC"
    if cron is not None:
        try:
            Cron(cron, time_zone)
        except ValueError as error:
            yield Violation("cron", str(error))


def fingerprint(row: Mapping[str, Any]) -> bytes:
    """Returns a hash that differs where the declaration in code has changed."""
    declared = repr([(name, row[name]) for name in sorted(row)])
    return hashlib.sha256(declared.encode()).digest()


def schedule(every: timedelta | None, cron: str | None, time_zone: str, *, origin: datetime) -> Schedule:
    """Returns the schedule of a definition or its row. Intervals are counted from `origin`. Raises ValueError."""
    if cron is not None:
        return Cron(cron, time_zone)
    if every is None:
        raise ValueError("the definition has neither an interval nor a cron expression")
    return Interval(every, origin)


@dataclass(frozen=True)
class Ticks:
    """What is to be done about the ticks of a definition that have passed."""

    due: list[datetime]
    """The ticks that get a job, oldest first."""
    next_at: datetime
    """The first tick that is left for later. It may be due already."""
    last_at: datetime | None
    """The last tick that was handled, with a job or without."""


def decide(
    schedule_: Schedule, next_at: datetime, now: datetime, missed: MissedTicks, window: timedelta | None
) -> Ticks:
    """Decides which ticks from `next_at` to now get a job."""
    if next_at > now:
        return Ticks([], next_at, None)
    if missed is MissedTicks.ALL and window is not None:
        due = _ticks(schedule_, max(next_at, now - max(window, ON_TIME)), now)
        following = schedule_.after(due[-1] if len(due) == MOST_AT_ONCE else now)
        return Ticks(due, following, due[-1] if due else None)
    last = _last_tick(schedule_, next_at, now)
    latest = ON_TIME if missed is MissedTicks.SKIP else None if window is None else max(window, ON_TIME)
    in_time = last is not None and (latest is None or now - last <= latest)
    return Ticks([last] if last and in_time else [], schedule_.after(now), last)


def _ticks(schedule_: Schedule, begin: datetime, now: datetime) -> list[datetime]:
    """Returns the first ticks from `begin` to now."""
    ticks: list[datetime] = []
    tick = schedule_.after(begin - _INSTANT)
    while tick <= now and len(ticks) < MOST_AT_ONCE:
        ticks.append(tick)
        tick = schedule_.after(tick)
    return ticks


def _last_tick(schedule_: Schedule, next_at: datetime, now: datetime) -> datetime | None:
    """Returns the last tick from `next_at` to now. Searches longer and longer spans: there may be millions of ticks."""
    begin = next_at
    for span in _SPANS:
        begin = max(next_at, now - span)
        if begin == next_at or schedule_.after(begin) <= now:
            break
    else:
        begin = next_at
    last, tick = None, schedule_.after(begin - _INSTANT)
    while tick <= now:
        last, tick = tick, schedule_.after(tick)
    return last
