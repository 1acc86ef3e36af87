"""Measures two checkouts, turn and turn about, until each bar is settled or the time is up."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing

from bench.against.cases import Case, Size
from bench.against.side import Side
from bench.against.verdict import ENOUGH_PAIRS, Ratio, Verdict, ratio, verdict
from bench.cases import Values
from bench.server import Server

HERE, THERE = "here", "there"
# A case whose rows are not judged needs no more.
UNJUDGED_PAIRS = 3

Pairs = Sequence[Mapping[str, Values]]
"""Of a case: in each pair, the values of both sides by the side's name."""


def measure(
    server: Server, sides: tuple[Side, Side], cases: Sequence[Case], size: Size
) -> dict[str, list[dict[str, Values]]]:
    """Measures pair after pair of every case; returns them by the case's name. Raises DriverError."""
    deadline = time.monotonic() + size.seconds
    pairs: dict[str, list[dict[str, Values]]] = {case.name: [] for case in cases}
    longest = dict.fromkeys(pairs, 0.0)
    with ExitStack() as stack:
        tables = {side.name: stack.enter_context(server.database()) for side in sides}
        for side in sides:
            side.run("setup", tables[side.name])
        for turn in range(size.most_pairs):
            # The side that begins changes from pair to pair.
            order = sides if turn % 2 == 0 else sides[::-1]
            for case in cases:
                begun = time.monotonic()
                if begun + longest[case.name] > deadline or settled(case, pairs[case.name]):
                    continue
                pairs[case.name].append(_pair(server, order, tables, case, size))
                longest[case.name] = max(longest[case.name], time.monotonic() - begun)
                sys.stderr.write(f"pair {turn + 1}: {_words(pairs[case.name][-1])}\n")
    return pairs


def _pair(
    server: Server, order: Sequence[Side], tables: Mapping[str, str], case: Case, size: Size
) -> dict[str, Values]:
    """Has both sides take the steps of a case in turn, each on a separate database."""
    values: dict[str, Values] = {side.name: {} for side in order}
    with ExitStack() as stack:
        databases = [stack.enter_context(server.database(like=tables[side.name])) for side in order]
        steps = [
            stack.enter_context(closing(case.steps(server, side, dsn, size)))
            for side, dsn in zip(order, databases, strict=True)
        ]
        for taken in zip(*steps, strict=True):  # a step of the first side, then the same step of the second
            for side, measured in zip(order, taken, strict=True):
                values[side.name] |= measured
    return values


def compared(row: str, pairs: Pairs) -> Ratio:
    """Returns how this side's value of a row compares with the other's. Raises ValueError: there are no pairs."""
    return ratio([pair[HERE][row] for pair in pairs], [pair[THERE][row] for pair in pairs])


def settled(case: Case, pairs: Pairs) -> bool:
    """Returns whether enough pairs are measured: every bar of the case is known to be met."""
    judged = [(row.name, row.bar) for row in case.rows if row.bar is not None]
    if len(pairs) < (ENOUGH_PAIRS if judged else UNJUDGED_PAIRS):
        return False
    return all(verdict(compared(name, pairs), bar) is Verdict.HELD for name, bar in judged)


def _words(pair: Mapping[str, Values]) -> str:
    return ", ".join(f"{name} {value:,.1f}/{pair[THERE][name]:,.1f}" for name, value in pair[HERE].items())
