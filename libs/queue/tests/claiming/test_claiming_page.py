"""docs/internals/claiming.md is true: what it describes is done on a real Postgres, and every value is compared."""

from __future__ import annotations

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from claiming_example import Example

from headrace.embedded_postgres import EmbeddedPostgres
from headrace.queue import WorkerSettings
from headrace.queue.claiming.pipeline import SWEEP_BUDGET
from headrace.queue.claiming.recheck_timer import FIRST_LOOK, WATCH, RecheckTimer
from headrace.queue.claiming.reconciler import INTERVAL, UNCLEAR_FOR
from headrace.queue.db import migrate
from headrace.queue.db.connections import STATEMENT_TIMEOUT
from headrace.queue.maintenance.rescuer import LEASE

FOLDER = next(folder for parent in Path(__file__).parents if (folder := parent / "docs/internals").is_dir())
PAGE = (FOLDER / "claiming.md").read_text(encoding="utf-8")
MS = 1000
VERSION = "HEADRACE_TEST_POSTGRES"

Table = list[dict[str, str]]


def section(title: str) -> str:
    """The text below the heading that starts with these words."""
    found = re.search(rf"^#+ {title}\b.*?\n(?P<text>.*?)(?=^#|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"the page has no heading {title!r}"
    return found["text"]


def tables(text: str) -> list[Table]:
    """The tables in a text, without the marks for code and emphasis."""
    found = []
    for block in re.findall(r"(?:^\|.*\|\n)+", text, re.MULTILINE):
        head, _, *rows = [
            [re.sub(r"[`*]", "", cell).strip() for cell in row[1:-1].split("|")] for row in block.splitlines()
        ]
        found.append([dict(zip(head, row, strict=True)) for row in rows])
    return found


def as_text(printed: Sequence[Table]) -> str:
    """Tables as lines, so that a comparison shows which of them differ."""
    return "\n\n".join(
        "\n".join(" | ".join(cells) for cells in (table[0], *(row.values() for row in table))) for table in printed
    )


def numbers_after(words: str) -> list[str]:
    """The list of numbers that follows these words on the page; those in bold keep their stars."""
    found = re.search(rf"{re.escape(words)}\s+(?P<list>[\d*.,\s]+)\n\n", PAGE)
    assert found, f"the page has no numbers after {words!r}"
    return re.split(r",\s*", found["list"].strip())


def drawn(figure: str, *names: str) -> list[tuple[str, ...]]:
    """The data of each element of a figure that has all of these data attributes."""
    data = [[element.get(f"data-{name}") for name in names] for element in ET.parse(FOLDER / figure).iter()]
    return [tuple(filter(None, each)) for each in data if None not in each]


@pytest.fixture(scope="module")
def example() -> Iterator[Example]:
    """The page's example, on a separate server: another test's transactions would take ids in between."""
    version = os.environ.get(VERSION)
    settings = {"fsync": "off", "autovacuum": "off"}
    with EmbeddedPostgres(version=int(version) if version else None, settings=settings) as server, ExitStack() as stack:
        migrate.up(server.dsn())
        example = Example(server.dsn(), stack)
        example.run()
        yield example


def test_each_step_of_the_example_changes_what_the_page_prints(example: Example) -> None:
    printed = [tables(section(f"Step {number}")) for number in range(1, PAGE.count("# Step ") + 1)]
    for number, (on_the_page, happened) in enumerate(zip(printed, example.steps, strict=True), 1):
        assert as_text(on_the_page) == as_text(happened), f"step {number} of docs/internals/claiming.md"


def test_the_figure_of_the_example_draws_what_happened(example: Example) -> None:
    assert sorted(drawn("claiming.svg", "xid", "begin", "end", "outcome")) == [
        (str(each.xid), str(each.begin), str(each.end), each.outcome) for each in example.transactions
    ]
    assert drawn("claiming.svg", "step", "snapshot") == [(str(step), text) for step, text in example.snapshots]
    assert drawn("claiming.svg", "step", "cursor") == [(str(step), text) for step, text in example.places]


def commits() -> Table:
    """The commits of the page's timeline of wake-ups."""
    [timeline] = tables(section("In the database"))
    return timeline


def wake_by_another_clock(connection: psycopg.Connection[Any]) -> None:
    """Makes `wake_at`: the real function `wake`, with its time as a parameter."""
    [(body,)] = connection.execute("select prosrc from pg_proc where oid = 'headrace.wake(text)'::regprocedure")
    assert body.count("clock_timestamp()") == 1
    moved = body.replace("clock_timestamp()", "now_at").replace("$$", "")
    connection.execute(
        f"create function headrace.wake_at(queue text, now_at timestamptz) returns void language plpgsql as $${moved}$$"
    )


def wake_at(connection: psycopg.Connection[Any], queue: str, ms: int) -> None:
    connection.execute("select headrace.wake_at(%s, to_timestamp(1000000000 + %s / 1000.0))", (queue, ms))


@pytest.fixture
def listener(database: str) -> Iterator[tuple[psycopg.Connection[Any], list[str]]]:
    """A session that can be woken by another clock, and the queues that it has been notified of."""
    migrate.up(database)
    with psycopg.connect(database, autocommit=True) as connection:
        notified: list[str] = []
        connection.add_notify_handler(lambda notification: notified.append(notification.payload))
        connection.execute("listen headrace_ready")
        wake_by_another_clock(connection)
        yield connection, notified


def test_wake_notifies_of_the_commits_that_the_page_prints(
    listener: tuple[psycopg.Connection[Any], list[str]],
) -> None:
    connection, notified = listener
    for commit in commits():
        notified.clear()
        wake_at(connection, commit["queue"], int(commit["ms"]))
        assert notified == ([commit["queue"]] if commit["notifies"] == "yes" else []), f"at {commit['ms']} ms"


def test_a_notification_that_is_rolled_back_still_suppresses_others(
    listener: tuple[psycopg.Connection[Any], list[str]],
) -> None:
    connection, notified = listener
    connection.execute("begin")
    wake_at(connection, "email", 0)
    connection.execute("rollback")
    wake_at(connection, "email", 1)
    assert notified == []
    wake_at(connection, "email", 5)
    assert notified == ["email"]


def claims_of_a_worker(
    queues: Sequence[str], commits: Table, monkeypatch: pytest.MonkeyPatch
) -> Mapping[str, list[str]]:
    """When a worker that is never busy claims from each of its queues, in ms. Bold: the claim finds a job."""
    clock = 0.0
    monkeypatch.setattr("time.monotonic", lambda: clock)
    timer = RecheckTimer(queues)
    claims: dict[str, list[str]] = {queue: [] for queue in queues}
    waiting: set[str] = set()
    coming = list(commits)
    while True:
        committed_at = int(coming[0]["ms"]) / MS if coming else float("inf")
        clock = min(committed_at, timer.next_look)
        if clock == float("inf"):
            return claims
        ready: list[str] = []
        if clock == committed_at:
            commit = coming.pop(0)
            waiting.add(commit["queue"])
            if commit["notifies"] == "yes":
                ready = timer.queues_sharing_slot(commit["queue"])
                for queue in ready:
                    timer.woken(queue)
        for queue in [*ready, *(due for due in timer.due() if due not in ready)]:
            at = f"{clock * MS:.1f}".removesuffix(".0")
            claims[queue].append(f"**{at}**" if queue in waiting else at)
            (timer.woken if queue in waiting else timer.found_nothing)(queue)
            waiting.discard(queue)


def test_a_worker_claims_when_the_page_and_the_figure_say(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        claims = claims_of_a_worker(["email", "search"], commits(), patched)
    for queue, all_claims in claims.items():
        printed = numbers_after(f"Claims of `{queue}` (ms):")
        assert printed == all_claims[: len(printed)]
    assert f"the last recheck is at {float(claims['email'][-1]):.0f} ms" in PAGE
    assert drawn("waking.svg", "ms", "queue", "notifies") == [
        (commit["ms"], commit["queue"], commit["notifies"]) for commit in commits()
    ]
    found = drawn("waking.svg", "ms", "queue", "found")
    for queue, all_claims in claims.items():
        in_figure = [f"**{ms}**" if hit == "yes" else ms for ms, of_queue, hit in found if of_queue == queue]
        assert in_figure == all_claims[: len(in_figure)]


def test_rechecks_come_when_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        claims = claims_of_a_worker(["email"], [{"ms": "0", "queue": "email", "notifies": "yes"}], patched)
    assert numbers_after("After a single job at 0, it checks at these times (ms):") == claims["email"][1:]


def test_the_times_are_those_of_the_code() -> None:
    times = {
        row["constant"]: row["value"] for table in tables(section("What can fail")) for row in table if "value" in row
    }
    assert times == {
        "WorkerSettings.poll_interval": in_words(WorkerSettings().poll_interval),
        "FIRST_LOOK": in_words(FIRST_LOOK),
        "WATCH": in_words(WATCH),
        "INTERVAL": in_words(INTERVAL),
        "SWEEP_BUDGET": in_words(SWEEP_BUDGET),
        "STATEMENT_TIMEOUT": in_words(STATEMENT_TIMEOUT),
        "UNCLEAR_FOR": in_words(UNCLEAR_FOR),
        "LEASE": in_words(LEASE),
    }


def in_words(time: float | timedelta) -> str:
    seconds = time.total_seconds() if isinstance(time, timedelta) else time
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * MS:g} ms"
