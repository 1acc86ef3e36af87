"""When a schedule ticks, above all where clocks are changed."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from headrace.queue import MissedTicks, Periodic
from headrace.queue.periodic.definition import MOST_AT_ONCE, decide
from headrace.queue.periodic.schedule import Cron, Interval, Schedule

MINUTE = timedelta(minutes=1)
# Days around a change of clocks: by an hour, by half an hour, by two hours, at midnight, by a whole day; and none.
CHANGES = {
    "Europe/Berlin": [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)],
    "Australia/Lord_Howe": [datetime(2026, 4, 4, tzinfo=UTC), datetime(2026, 10, 3, tzinfo=UTC)],
    "Antarctica/Troll": [datetime(2026, 3, 29, tzinfo=UTC), datetime(2026, 10, 25, tzinfo=UTC)],
    "Africa/Cairo": [datetime(2026, 4, 23, tzinfo=UTC), datetime(2026, 10, 29, tzinfo=UTC)],
    "Pacific/Apia": [datetime(2011, 12, 30, tzinfo=UTC)],
    "Asia/Kolkata": [datetime(2026, 3, 29, tzinfo=UTC)],
}


def ticks(schedule: Schedule, after: datetime) -> Iterator[datetime]:
    while True:
        yield (after := schedule.after(after))


def walls(cron: Cron, after: str, count: int) -> list[str]:
    """What the clock on the wall shows at the next ticks."""
    found = islice(ticks(cron, datetime.fromisoformat(after)), count)
    return [tick.astimezone(ZoneInfo(cron.time_zone)).strftime("%d. %H:%M:%S %Z") for tick in found]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_of_day_that_the_change_leaves_out_ticks_at_its_end(expression: str) -> None:
    assert walls(Cron(expression, "Europe/Berlin"), "2026-03-28T00:00Z", 3) == [
        "28. 02:30:00 CET",
        "29. 03:00:00 CEST",
        "30. 02:30:00 CEST",
    ]


@pytest.mark.parametrize("expression", ["30 2 * * *", "0 30 2 * * *"])
def test_a_time_of_day_that_comes_twice_ticks_the_first_time(expression: str) -> None:
    assert walls(Cron(expression, "Europe/Berlin"), "2026-10-24T00:00Z", 3) == [
        "24. 02:30:00 CEST",
        "25. 02:30:00 CEST",
        "26. 02:30:00 CET",
    ]


def test_several_times_of_day_in_the_gap_tick_once() -> None:
    assert walls(Cron("0,20,40 2 * * *", "Europe/Berlin"), "2026-03-28T23:00Z", 2) == [
        "29. 03:00:00 CEST",
        "30. 02:00:00 CEST",
    ]


def test_a_pattern_follows_real_time_over_a_change() -> None:
    half_hours = Cron("*/30 * * * *", "Europe/Berlin")
    spring = list(islice(ticks(half_hours, datetime(2026, 3, 29, 0, 30, tzinfo=UTC)), 3))
    assert [each - spring[0] for each in spring] == [timedelta(0), 30 * MINUTE, 60 * MINUTE]
    assert walls(half_hours, "2026-10-24T23:30Z", 5) == [
        "25. 02:00:00 CEST",
        "25. 02:30:00 CEST",
        "25. 02:00:00 CET",
        "25. 02:30:00 CET",
        "25. 03:00:00 CET",
    ]


def test_a_field_in_front_is_for_seconds() -> None:
    assert walls(Cron("*/20 0 12 * * *"), "2026-01-01T00:00Z", 4) == [
        "01. 12:00:00 UTC",
        "01. 12:00:20 UTC",
        "01. 12:00:40 UTC",
        "02. 12:00:00 UTC",
    ]


def shown(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """The ticks between two instants as a reader of the clock on the wall would note them, minute by minute."""
    local = ZoneInfo(zone)
    wanted = set()
    for wall in CronSim(expression, start.astimezone(local).replace(tzinfo=None) - timedelta(days=2)):
        if wall > end.astimezone(local).replace(tzinfo=None) + timedelta(days=2):
            break
        wanted.add(wall)
    minute, hour = expression.split()[:2]
    once = not minute.startswith("*") and not hour.startswith("*")
    noted, seen = [], set()
    before: datetime | None = None
    moment = start - timedelta(hours=3)
    while moment <= end:
        wall = moment.astimezone(local).replace(tzinfo=None, fold=0)
        jumped = before is not None and wall - before != MINUTE
        left_out = once and jumped and any((before or wall) < each < wall for each in wanted)
        if left_out or (wall in wanted and not (once and wall in seen)):
            noted.append(moment)
        seen.add(wall)
        before = wall
        moment += MINUTE
    return [tick for tick in noted if tick > start]


fields = {
    "minute": st.sampled_from(["*", "*/2", "*/7", "*/15", "*/30", "0", "30", "59", "0,30", "10,50", "0-20"]),
    "hour": st.sampled_from(["*", "*/2", "*/3", "0", "1", "2", "3", "23", "0,2", "1-3", "0-23"]),
    "day": st.sampled_from(["*", "29", "24-31"]),
    "weekday": st.sampled_from(["*", "0", "sun", "5"]),
}


@settings(max_examples=60, deadline=None)
@given(
    change=st.sampled_from([(zone, day) for zone, days in CHANGES.items() for day in days]),
    before=st.integers(0, 20 * 60),
    **fields,
)
def test_a_schedule_ticks_just_when_the_clock_on_the_wall_says_so(
    change: tuple[str, datetime], before: int, minute: str, hour: str, day: str, weekday: str
) -> None:
    zone, midnight = change
    expression = f"{minute} {hour} {day} * {weekday}"
    start, end = midnight - before * MINUTE, midnight + timedelta(hours=30)
    found = list(takewhile(lambda tick: tick <= end, ticks(Cron(expression, zone), start)))
    assert found == shown(expression, zone, start, end)


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({}, "give either every or cron"),
        ({"every": MINUTE, "cron": "* * * * *"}, "give either every or cron"),
        ({"every": timedelta(0)}, "every must be at least 0:00:00.100000 and at most ten years, not 0:00:00"),
        ({"cron": "61 * * * *"}, r"cron expression '61 \* \* \* \*': bad minute"),
        ({"cron": "* * *"}, r"cron expression '\* \* \*': wrong number of fields"),
        ({"cron": "0 0 30 2 *"}, "cron expression '0 0 30 2 .*': bad day-of-month"),
        ({"cron": "* * * * *", "time_zone": "Mars/Olympus"}, "time zone 'Mars/Olympus' is unknown: use an IANA name"),
        ({"cron": "* * * * *", "time_zone": ""}, "time zone '' is unknown"),
        ({"cron": "* * * * *", "time_zone": "../etc/passwd"}, "time zone '../etc/passwd' is unknown"),
        (
            {"every": MINUTE, "window": timedelta(0)},
            "window must be at least 0:00:00.000001 and",
        ),
        ({"every": MINUTE, "missed": MissedTicks.ALL}, "missed=ALL needs a window"),
        ({"every": MINUTE, "missed": "some"}, "'some' is not a valid Missed"),
        ({"every": MINUTE, "name": ""}, "name must have 1 to 200 printable characters"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(wrong: dict[str, object], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Periodic(**{"name": "tidy", "payload": None, **wrong})  # type: ignore[arg-type]


NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOURLY = Interval(timedelta(hours=1), NOON)
LATE = NOON + timedelta(hours=10, minutes=30)


@pytest.mark.parametrize(
    ("missed", "window", "due"),
    [
        (MissedTicks.SKIP, None, []),
        (MissedTicks.ONE, None, [10]),
        (MissedTicks.ONE, timedelta(minutes=20), []),
        (MissedTicks.ONE, timedelta(minutes=40), [10]),
        (MissedTicks.ALL, timedelta(days=1), list(range(11))),
        (MissedTicks.ALL, timedelta(hours=2), [9, 10]),
    ],
)
def test_what_was_missed_is_made_up_for_by_policy(
    missed: MissedTicks, window: timedelta | None, due: list[int]
) -> None:
    ticks = decide(HOURLY, NOON, LATE, missed, window)
    assert ticks.due == [NOON + timedelta(hours=hour) for hour in due]
    assert ticks.next_at == NOON + timedelta(hours=11)


@pytest.mark.parametrize("missed", list(MissedTicks))
def test_a_tick_that_is_on_time_counts_under_every_policy(missed: MissedTicks) -> None:
    now = NOON + timedelta(seconds=2)
    assert decide(HOURLY, NOON, now, missed, timedelta(seconds=1)).due == [NOON]


def test_many_missed_ticks_are_made_up_for_in_parts() -> None:
    begin, found = NOON, []
    each_second = Cron("* * * * * *")
    now = NOON + timedelta(seconds=2.5 * MOST_AT_ONCE)
    while begin <= now:
        ticks = decide(each_second, begin, now, MissedTicks.ALL, timedelta(days=1))
        assert len(ticks.due) <= MOST_AT_ONCE
        found += ticks.due
        begin = ticks.next_at
    assert found == [NOON + timedelta(seconds=n) for n in range(len(found))]
    assert found[-1] == now


def test_the_last_of_millions_of_missed_ticks_is_found_without_reading_each() -> None:
    calls = 0

    class Counting(Cron):
        def after(self, moment: datetime) -> datetime:
            nonlocal calls
            calls += 1
            return super().after(moment)

    now = NOON + timedelta(days=3650, seconds=0.5)
    ticks = decide(Counting("* * * * * *"), NOON, now, MissedTicks.ONE, None)
    assert ticks.due == [now - timedelta(seconds=0.5)]
    assert calls < 100
