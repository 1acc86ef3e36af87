"""When a periodic job ticks: at an interval, or by a cron expression in a time zone.

A schedule is a pure function from one instant to the next tick after it. What a clock change does to cron:

    a time of day ("0 30 2 * * *")   ticks once a day: a time that the change skips ticks at the end of the change, a
                                     time that comes twice ticks the first time
    a pattern ("*/15 * * * *",       follows real time: it ticks at each instant at which the clock shows a matching
    an hour or minute with *)        time, so twice where the clock shows that time twice, and never where it skips it
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

# The longest time that a clock shows twice, and the longest that it skips. Apia once skipped a day.
LONGEST_REPEAT = timedelta(hours=3)
LONGEST_GAP = timedelta(hours=25)
SECOND = timedelta(seconds=1)


class TimeZoneUnknownError(ValueError):
    """No time zone has that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"time zone {name!r} is unknown: use an IANA name, for example Europe/Berlin")


class Schedule(Protocol):
    """The times at which a periodic job ticks."""

    def after(self, moment: datetime) -> datetime:
        """Returns the first tick after a moment, in UTC."""


def zone(name: str) -> ZoneInfo:
    """Returns the time zone of an IANA name. Raises TimeZoneUnknownError."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown; not a valid name; a directory
        raise TimeZoneUnknownError(name) from None


@dataclass(frozen=True)
class Interval:
    """Ticks at a fixed distance, counted from an earlier tick."""

    every: timedelta
    origin: datetime
    """Any tick."""

    def after(self, moment: datetime) -> datetime:
        """Returns the first tick after a moment, in UTC."""
        return (self.origin + self.every * ((moment - self.origin) // self.every + 1)).astimezone(UTC)


@dataclass(frozen=True)
class Cron:
    """Ticks by a cron expression: minute hour day month weekday, optionally preceded by seconds.

    Fields are as in Debian's cron, with names, steps, L (last) and # (nth weekday). The module documents clock changes.

    Raises:
        ValueError: The expression is invalid or never ticks, or the time zone is unknown.
    """

    expression: str
    time_zone: str = "UTC"
    _zone: ZoneInfo = field(init=False, repr=False, compare=False)
    _is_time_of_day: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Rejects invalid expressions."""
        object.__setattr__(self, "_zone", zone(self.time_zone))
        try:
            next(CronSim(self.expression, datetime(2000, 1, 1)))  # noqa: DTZ001  (a wall clock)
        except CronSimError as error:
            raise ValueError(f"cron expression {self.expression!r}: {str(error).lower()}") from None
        except StopIteration:
            raise ValueError(f"cron expression {self.expression!r} never ticks") from None
        minute, hour = self.expression.split()[-5:-3]
        object.__setattr__(self, "_is_time_of_day", not minute.startswith("*") and not hour.startswith("*"))

    def after(self, moment: datetime) -> datetime:
        """Returns the first tick after a moment, in UTC."""
        if self._is_time_of_day:
            return next(tick for tick in self._first_showings(moment) if tick > moment)
        return self._next_showing(moment)

    def _first_showings(self, moment: datetime) -> Iterator[datetime]:
        """Yields when the clock first shows each matching time from a moment on, or skips it."""
        for wall in CronSim(self.expression, self._wall(moment)):
            instant = wall.replace(tzinfo=self._zone, fold=0).astimezone(UTC)
            if self._wall(instant) == wall:
                yield instant
            else:  # skipped: by the offset before the change, it is after the change by the length of the gap
                yield self._first_change(instant - LONGEST_GAP, instant) or instant

    def _next_showing(self, moment: datetime) -> datetime:
        """Returns the first instant after a moment at which the clock shows a matching time."""
        moment = moment.astimezone(UTC)
        wall = self._wall(moment)
        while True:
            offset = self._offset(moment)
            instant = next(CronSim(self.expression, wall)).replace(tzinfo=UTC) - offset
            change = self._first_change(moment, instant)
            if change is None:
                return instant
            # It was computed with an offset that no longer holds: continue from the change, which is included.
            moment, wall = change, self._wall(change) - SECOND

    def _wall(self, moment: datetime) -> datetime:
        return moment.astimezone(self._zone).replace(tzinfo=None, fold=0)

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta(0)

    def _first_change(self, begin: datetime, end: datetime) -> datetime | None:
        """Returns when the offset changes soon after `begin`, or by `end`. None: it is the same at both."""
        before = self._offset(begin)
        end = next((later for later in (min(end, begin + LONGEST_REPEAT), end) if self._offset(later) != before), begin)
        if end == begin:
            return None
        while end - begin > SECOND:
            middle = begin + (end - begin) // 2
            begin, end = (begin, middle) if self._offset(middle) != before else (middle, end)
        return end.replace(microsecond=0)
