"""Whether the speed held, from pairs of measurements. Pure functions.

The two sides are measured one right after the other, so the ratio of a pair is free of most of what else the machine
does. The rest of it differs from pair to pair, and the interval of the ratio shows how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import accumulate, combinations_with_replacement
from math import exp, log
from statistics import median

CONFIDENCE = 0.99
# With fewer pairs no interval has that confidence: the whole spread, which then stands for it, has 97 % with six.
ENOUGH_PAIRS = 8
FEWEST_PAIRS = 6


class Verdict(StrEnum):
    """What the pairs say about a bar."""

    HELD = "held"
    """The whole interval meets the bar."""
    WITHIN_NOISE = "within noise"
    """The bar lies inside the interval: the pairs differ too much to tell."""
    WORSE = "WORSE"
    """The whole interval misses the bar."""


@dataclass(frozen=True)
class Ratio:
    """How many times the other side's value this side's value is."""

    middle: float
    low: float
    high: float
    pairs: int


@dataclass(frozen=True)
class Bar:
    """What a ratio must meet: at least `limit` where more is better, else at most."""

    limit: float
    more_is_better: bool

    def met_by(self, ratio: float) -> bool:
        """Returns whether a ratio meets the bar."""
        return ratio >= self.limit if self.more_is_better else ratio <= self.limit

    def __str__(self) -> str:
        return f"{'≥' if self.more_is_better else '≤'} {self.limit:.2f}"


def ratio(here: Sequence[float], there: Sequence[float]) -> Ratio:
    """Compares two sides, pair by pair.

    The middle is the median of the pairs' ratios, each also averaged with every other one (Hodges and Lehmann's
    estimate): a few odd pairs don't move it, and it needs fewer pairs than the plain median. The interval is the one
    that belongs to it (of Wilcoxon's signed-rank test) and holds the true ratio with a probability of at least 99 %.
    It assumes only that noise makes one side slower as often as the other, which taking turns ensures.

    Raises:
        ValueError: There are no pairs, or a measurement has no partner.
    """
    logs = [log(ours / theirs) for ours, theirs in zip(here, there, strict=True)]
    if not logs:
        raise ValueError("there are no pairs to compare")
    averages = sorted((one + other) / 2 for one, other in combinations_with_replacement(logs, 2))
    left_out = _left_out(len(logs))
    return Ratio(exp(median(averages)), exp(averages[left_out]), exp(averages[-1 - left_out]), len(logs))


def verdict(ratio: Ratio, bar: Bar) -> Verdict:
    """Holds a ratio and its interval against a bar. Fewer than six pairs say nothing."""
    if ratio.pairs < FEWEST_PAIRS:
        return Verdict.WITHIN_NOISE
    met = {bar.met_by(ratio.low), bar.met_by(ratio.high)}
    if met == {True}:
        return Verdict.HELD
    return Verdict.WORSE if met == {False} else Verdict.WITHIN_NOISE


def looks_worse(ratio: Ratio, bar: Bar) -> bool:
    """Returns whether a ratio misses its bar and is not 1 either, though the bar itself lies within the noise."""
    return ratio.pairs >= ENOUGH_PAIRS and not bar.met_by(ratio.middle) and not ratio.low <= 1 <= ratio.high


@cache
def _left_out(pairs: int) -> int:
    """How many of the averages to leave out at either end, so that the rest has the confidence.

    Of all ways to give the ranks 1 to `pairs` a sign, those whose positive ranks sum up to at most so much are rare
    enough.
    """
    ways = [1] + [0] * (pairs * (pairs + 1) // 2)
    for rank in range(1, pairs + 1):
        for total in range(len(ways) - 1, rank - 1, -1):
            ways[total] += ways[total - rank]
    rare = [total for total, so_far in enumerate(accumulate(ways)) if 2 * so_far <= (1 - CONFIDENCE) * 2**pairs]
    return max(rare, default=0)
