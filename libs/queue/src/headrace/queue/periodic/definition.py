"""Jobs that come back: what a definition says, and which of its ticks are due.

Definitions live in the database. A worker declares those of its code at its start; others are made, and all are changed
and paused, at run time (see periodic_control.py). The scheduler of every worker ticks them.
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

# A tick that is decided about within this time was not missed.
ON_TIME = timedelta(seconds=30)
# So many ticks are made up for in one transaction.
MOST_AT_ONCE = 100
MAX_NAME_LENGTH = 200
LONGEST = timedelta(days=3660)
# Whoever looks for the ticks of a minute that was missed goes through each of them.
SHORTEST = timedelta(milliseconds=100)
_INSTANT = timedelta(microseconds=1)
_SPANS = (timedelta(minutes=1), timedelta(hours=1), timedelta(days=1), timedelta(days=32), timedelta(days=366))


class MissedTicks(StrEnum):
    """Which ticks are made up for that passed while no worker ran."""

    SKIP = "skip"
    """None."""
    ONE = "one"
    """The last one."""
    ALL = "all"
    """Each, oldest first."""


@dataclass(frozen=True)
class Periodic:
    """A job that comes back: exactly one job per tick, with any number of replicas.

    The job's metadata says which tick it is: `{"periodic": name, "scheduled_at": ISO time}`.

    Args:
        name: Unique in the installation; up to 200 characters.
        payload: Of every one of its jobs.
        every: The interval between ticks, 0.1 s at least; the first one is now.
        cron: Or a cron expression: minute hour day month weekday, with an optional field for seconds in front.
        time_zone: Of the cron expression; an IANA name. For what a clock change does see schedules.py.
        missed: What is made up for after a time in which no worker ran. A pause leaves nothing to be made up for.
        window: How late a missed tick may be made up for; None means any time.

    Raises:
        PeriodicInvalidError: Something makes no sense; the text names it. It is a ValueError.
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
        """Refuses what makes no sense."""
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
        """The definition as parameters of the statements that write it, its payload checked like a job's.

        Raises:
            KindUnknownError: The payload is of none of the kinds.
            PayloadUnreadableError: It can't be written.
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
        """The first tick of a new definition: now, or by the cron expression."""
        return now if self.cron is None else Cron(self.cron, self.time_zone).after(now)

    def next_tick(self, now: datetime) -> datetime:
        """The first tick after now of a definition that has ticked before, by another schedule or before a pause."""
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
    """All that makes no sense in a definition, its payload aside."""
    if not 1 <= len(name) <= MAX_NAME_LENGTH or not name.isprintable():
        yield Violation("name", f"a name has 1 to {MAX_NAME_LENGTH} printable characters")
    if (every is None) == (cron is None):
        yield Violation("every", "give either every or cron")
    for field, time, least in (("every", every, SHORTEST), ("window", window, _INSTANT)):
        if time is not None and not least <= time <= LONGEST:
            yield Violation(field, f"{field} must be at least {least} and at most ten years, and is {time}")
    if missed is MissedTicks.ALL and window is None:
        yield Violation("window", "missed=ALL needs a window, lest a long absence ends in a flood of jobs")
    try:
        MissedTicks(missed)
    except ValueError as error:
        yield Violation("missed", str(error))
    try:
        zone(time_zone)  # also where nothing is counted in it
    except TimeZoneUnknownError as error:
        yield Violation("time_zone", str(error))
        time_zone = "UTC"
    if cron is not None:
        try:
            Cron(cron, time_zone)
        except ValueError as error:
            yield Violation("cron", str(error))


def fingerprint(row: Mapping[str, Any]) -> bytes:
    """What tells whether code declares something else than it did before."""
    said = repr([(name, row[name]) for name in sorted(row)])
    return hashlib.sha256(said.encode()).digest()


def schedule(every: timedelta | None, cron: str | None, time_zone: str, *, origin: datetime) -> Schedule:
    """The schedule of a definition or its row; intervals are counted from `origin`. Raises ValueError."""
    if cron is not None:
        return Cron(cron, time_zone)
    if every is None:
        raise ValueError("there is neither an interval nor a cron expression")
    return Interval(every, origin)


@dataclass(frozen=True)
class Ticks:
    """What a look at a definition has decided."""

    due: list[datetime]
    """The ticks that get a job, oldest first."""
    next_at: datetime
    """The first one that nothing is decided about; may be due already."""
    last_at: datetime | None
    """The last one that something is decided about."""


def decide(
    schedule_: Schedule, next_at: datetime, now: datetime, missed: MissedTicks, window: timedelta | None
) -> Ticks:
    """Decides about the ticks from `next_at` to now."""
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
    """The first ticks from `begin` to now."""
    ticks: list[datetime] = []
    tick = schedule_.after(begin - _INSTANT)
    while tick <= now and len(ticks) < MOST_AT_ONCE:
        ticks.append(tick)
        tick = schedule_.after(tick)
    return ticks


def _last_tick(schedule_: Schedule, next_at: datetime, now: datetime) -> datetime | None:
    """The last tick from `next_at` to now. Looks into longer and longer spans, since there may be millions of ticks."""
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
