"""From the raw runs to the table, and to results/latest.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from bench.cases import Figure, Values
from bench.contenders import OURS

Runs = Mapping[str, Sequence[Values]]
"""By contender: the values of each round."""


def lines(figures: Sequence[Figure], runs: Runs) -> list[dict[str, Any]]:
    """A line per figure: medians over the rounds, and whether the bar is met."""
    return [_line(figure, runs) for figure in figures]


def _line(figure: Figure, runs: Runs) -> dict[str, Any]:
    medians = {name: _median(values, figure.name) for name, values in runs.items()}
    ours = medians.pop(OURS)
    best_peer = (max if figure.better == "higher" else min)(medians.values(), default=None)
    clean = _median(runs[OURS], figure.clean) if figure.clean else None
    limit = _median(runs[OURS], figure.limit) if figure.limit else None
    known = {"ours": ours, "best_peer": best_peer, "limit": limit, "clean": clean}
    return {
        **asdict(figure),
        "ours": ours,
        "peers": medians,
        "limit": limit,
        "clean": clean,
        "ok": bool(eval(figure.bar, {"__builtins__": {}}, known)),  # noqa: S307  (an expression of cases.py)
    }


def _median(rounds: Sequence[Values], name: str) -> float:
    return round(median(values[name] for values in rounds), 2)


def table(of_lines: Sequence[Mapping[str, Any]]) -> str:
    """The lines for a terminal."""
    peers = list(dict.fromkeys(peer for line in of_lines for peer in line["peers"]))
    rows = [["", "", "ours", *peers, "limit", "beside", "bar", ""]]
    for line in of_lines:
        values = [line["ours"], *(line["peers"].get(peer) for peer in peers), line["limit"], line["clean"]]
        words = ["" if value is None else number(value) for value in values]
        rows.append([line["name"], line["unit"], *words, line["bar"], "met" if line["ok"] else "NOT MET"])
    return aligned(rows, right=range(2, 5 + len(peers)))


def aligned(rows: Sequence[Sequence[str]], *, right: range) -> str:
    """The rows with their columns one below the other; those of `right` are set to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_row(row, widths, right) for row in rows)


def _row(words: Sequence[str], widths: Sequence[int], right: range) -> str:
    cells = (
        word.rjust(width) if place in right else word.ljust(width)
        for place, (word, width) in enumerate(zip(words, widths, strict=True))
    )
    return "  ".join(cells).rstrip()


def number(value: float) -> str:
    """A value for the table."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
