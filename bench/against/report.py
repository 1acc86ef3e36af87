"""From the pairs to the table and the closing sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from bench.against.cases import Case, Row
from bench.against.rounds import HERE, THERE, Pairs, compared
from bench.against.verdict import FEWEST_PAIRS, Ratio, Verdict, looks_worse, verdict
from bench.report import aligned, number

AGAIN = "Run it without QUICK or on a quieter machine."


@dataclass(frozen=True)
class Line:
    """A row with what was measured: the medians of both sides, the ratio and the verdict."""

    row: Row
    here: float
    there: float
    ratio: Ratio
    verdict: Verdict | None
    """None where the row is not judged."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the line as the result's file has it."""
        return asdict(self)


def lines(cases: Sequence[Case], pairs: Mapping[str, Pairs]) -> list[Line]:
    """Returns a line for each row of each case that was measured."""
    return [_line(row, pairs[case.name]) for case in cases if pairs[case.name] for row in case.rows]


def _line(row: Row, pairs: Pairs) -> Line:
    here, there = (median(pair[side][row.name] for pair in pairs) for side in (HERE, THERE))
    ratio = compared(row.name, pairs)
    return Line(row, here, there, ratio, verdict(ratio, row.bar) if row.bar else None)


def table(of_lines: Sequence[Line], *, there: str) -> str:
    """Returns the lines for a terminal."""
    rows = [["", "", "here", there, "ratio", "99 % interval", "pairs", "bar", ""]]
    for line in of_lines:
        low, high = line.ratio.low, line.ratio.high
        rows.append(
            [
                *(line.row.name, line.row.unit, number(line.here), number(line.there)),
                *(f"{line.ratio.middle:.3f}", f"{low:.3f} to {high:.3f}", str(line.ratio.pairs)),
                *(str(line.row.bar or ""), line.verdict or "not judged"),
            ]
        )
    return aligned(rows, right=range(2, 7))


def conclusion(of_lines: Sequence[Line], revision: str) -> tuple[str, int]:
    """Returns the verdict on all rows in words, and as the exit code.

    Returns:
        0 if no row is worse, 1 if one is, 3 if one looks worse or has too few pairs to be sure.
    """
    judged = [(line, line.row.bar) for line in of_lines if line.row.bar is not None]
    if worse := [line.row.name for line, _ in judged if line.verdict is Verdict.WORSE]:
        return f"The speed of {revision} did not hold: {', '.join(worse)}.", 1
    if unsure := [line.row.name for line, bar in judged if looks_worse(line.ratio, bar)]:
        return f"Looks worse, but may be noise: {', '.join(unsure)}. {AGAIN}", 3
    if (fewest := min(line.ratio.pairs for line, _ in judged)) < FEWEST_PAIRS:
        return f"Too few pairs to tell: {fewest} in the time there was. {AGAIN}", 3
    noisy = sum(line.verdict is Verdict.WITHIN_NOISE for line, _ in judged)
    rest = f", and {noisy} are within noise" if noisy else ""
    return f"The speed of {revision} held: {len(judged) - noisy} of {len(judged)} rows are held{rest}.", 0
